C     Von Mises plasticity with linear isotropic and linear kinematic
C     (Prager) hardening, small strain, radial return, NDI = 3.
C
C     PROPS(1) Young's modulus       PROPS(4) isotropic modulus H
C     PROPS(2) Poisson's ratio       PROPS(5) kinematic modulus C
C     PROPS(3) initial yield stress           (dX = 2/3 C dEp)
C
C     STATEV(1..NTENS)          plastic strain, engineering shear
C     STATEV(NTENS+1..2*NTENS)  backstress
C     STATEV(2*NTENS+1)         equivalent plastic strain
C
C     Build:  gfortran -shared -fPIC -O2 -o libj2_mixed.so j2_mixed.f
      SUBROUTINE UMAT(STRESS,STATEV,DDSDDE,SSE,SPD,SCD,
     1 RPL,DDSDDT,DRPLDE,DRPLDT,
     2 STRAN,DSTRAN,TIME,DTIME,TEMP,DTEMP,PREDEF,DPRED,CMNAME,
     3 NDI,NSHR,NTENS,NSTATV,PROPS,NPROPS,COORDS,DROT,PNEWDT,
     4 CELENT,DFGRD0,DFGRD1,NOEL,NPT,LAYER,KSPT,JSTEP,KINC)
C
      INCLUDE 'ABA_PARAM.INC'
C
      CHARACTER*80 CMNAME
      DIMENSION STRESS(NTENS),STATEV(NSTATV),
     1 DDSDDE(NTENS,NTENS),DDSDDT(NTENS),DRPLDE(NTENS),
     2 STRAN(NTENS),DSTRAN(NTENS),TIME(2),PREDEF(1),DPRED(1),
     3 PROPS(NPROPS),COORDS(3),DROT(3,3),DFGRD0(3,3),DFGRD1(3,3),
     4 JSTEP(4)
      DIMENSION XI(6),FLOW(6),OLD(6)
      PARAMETER (ZERO=0.D0,ONE=1.D0,TWO=2.D0,THREE=3.D0,HALF=0.5D0)
C
      IF (NDI.NE.3 .OR. NPROPS.NE.5 .OR. NSTATV.LT.2*NTENS+1) THEN
        WRITE(6,*) 'J2_MIXED NEEDS NDI=3, 5 PROPS, 2*NTENS+1 STATEV'
        CALL XIT
      END IF
      E=PROPS(1)
      ANU=PROPS(2)
      G=E/(TWO*(ONE+ANU))
      BULK=E/(THREE*(ONE-TWO*ANU))
      H=PROPS(4)
      C=PROPS(5)
      EQP=STATEV(2*NTENS+1)
C     Elastic predictor
      DVOL=DSTRAN(1)+DSTRAN(2)+DSTRAN(3)
      DO K=1,NTENS
        OLD(K)=STRESS(K)
      END DO
      DO K=1,NDI
        STRESS(K)=STRESS(K)+TWO*G*(DSTRAN(K)-DVOL/THREE)+BULK*DVOL
      END DO
      DO K=NDI+1,NTENS
        STRESS(K)=STRESS(K)+G*DSTRAN(K)
      END DO
C     Relative deviator and its von Mises norm
      P=(STRESS(1)+STRESS(2)+STRESS(3))/THREE
      SUM=ZERO
      DO K=1,NTENS
        XI(K)=STRESS(K)-STATEV(NTENS+K)
        W=TWO
        IF (K.LE.NDI) THEN
          XI(K)=XI(K)-P
          W=ONE
        END IF
        SUM=SUM+W*XI(K)**2
      END DO
      Q=SQRT(1.5D0*SUM)
      F=Q-PROPS(3)-H*EQP
      DP=ZERO
      THETA=ONE
      COEF=ZERO
      IF (F.GT.1.D-12*PROPS(3)) THEN
        DP=F/(THREE*G+H+C)
        DO K=1,NTENS
          FLOW(K)=1.5D0*XI(K)/Q
        END DO
        DO K=1,NTENS
          STRESS(K)=STRESS(K)-TWO*G*DP*FLOW(K)
          W=TWO
          IF (K.LE.NDI) W=ONE
          STATEV(K)=STATEV(K)+W*DP*FLOW(K)
          STATEV(NTENS+K)=STATEV(NTENS+K)+TWO/THREE*C*DP*FLOW(K)
        END DO
        STATEV(2*NTENS+1)=EQP+DP
        THETA=ONE-THREE*G*DP/Q
C       FLOW:FLOW = 3/2, so 4 G**2 times the slope of DP over Q
        COEF=4.D0*G*G*(ONE/(THREE*G+H+C)-DP/Q)
      ELSE
        DO K=1,NTENS
          FLOW(K)=ZERO
        END DO
      END IF
C     Consistent tangent
      DO J=1,NTENS
        DO I=1,NTENS
          DDSDDE(I,J)=-COEF*FLOW(I)*FLOW(J)
        END DO
      END DO
      DO J=1,NDI
        DO I=1,NDI
          DDSDDE(I,J)=DDSDDE(I,J)+BULK-TWO*G*THETA/THREE
        END DO
        DDSDDE(J,J)=DDSDDE(J,J)+TWO*G*THETA
      END DO
      DO J=NDI+1,NTENS
        DDSDDE(J,J)=DDSDDE(J,J)+G*THETA
      END DO
C     Energies by the trapezoidal rule
      WORK=ZERO
      PLAST=ZERO
      DO K=1,NTENS
        WORK=WORK+HALF*(OLD(K)+STRESS(K))*DSTRAN(K)
        W=TWO
        IF (K.LE.NDI) W=ONE
        PLAST=PLAST+HALF*(OLD(K)+STRESS(K))*W*DP*FLOW(K)
      END DO
      SPD=SPD+PLAST
      SSE=SSE+WORK-PLAST
      RETURN
      END

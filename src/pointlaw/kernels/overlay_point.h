long overlay_lanes(void);
void overlay_update(long points, long elements, const long *place, long size, long features, const double *x,
                    long x_stride, const double *state, long state_stride, const double *encoder, const double *squares,
                    const double *elastic, const double *law, double *answer, double *new_state, long new_stride,
                    double *tangent);

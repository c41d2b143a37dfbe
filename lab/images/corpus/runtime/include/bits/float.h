/* long double is the 64-bit format in every image: neither x87 nor soft-float quad helpers, as in a kernel, and
   the same results on both architectures.  Shadows musl's per-architecture file of this name. */
#define FLT_EVAL_METHOD 0
#define LDBL_TRUE_MIN 0x1p-1074L
#define LDBL_MIN 0x1p-1022L
#define LDBL_MAX 0x1.fffffffffffffp1023L
#define LDBL_EPSILON 0x1p-52L
#define LDBL_MANT_DIG 53
#define LDBL_MIN_EXP (-1021)
#define LDBL_MAX_EXP 1024
#define LDBL_DIG 15
#define LDBL_MIN_10_EXP (-307)
#define LDBL_MAX_10_EXP 308
#define DECIMAL_DIG 17

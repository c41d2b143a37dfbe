/* The input size, alone in its object: the only difference between the small and the large image. */
extern const unsigned long lab_large;
const unsigned long lab_large = LAB_LARGE;

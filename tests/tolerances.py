"""How close is equal. One place for all tests."""

EXACT = {"rtol": 1e-10, "atol": 1e-10}  # float64, the same formula in another order
FLOAT32 = {"rtol": 1e-4, "atol": 1e-5}  # float32, e.g. compiled against eager
REFERENCE = 1e-4  # the authors' outputs in float32, relative to an array's largest absolute value
BFLOAT16 = 0.02  # autocast against float32, relative to an array's largest absolute value

"""The authors' weights -> our modules. The only place that knows their names.

The builders take the tensors of a checkpoint as name -> array and what the tensors cannot tell.
"""

from interlace.models.convert.pytorch import dyreg_from_pytorch, rstg_from_pytorch
from interlace.models.convert.released import tsm_from_pytorch
from interlace.models.convert.tensorflow import rstg_from_tensorflow

__all__ = ["dyreg_from_pytorch", "rstg_from_pytorch", "rstg_from_tensorflow", "tsm_from_pytorch"]

"""A small drawing of a page, made only where colours alone do not tell what a reader sees."""

from ctypes import c_int, c_void_p

import numpy as np
import numpy.typing as npt

from converters.documents.pdfium import PdfPage, typed_function

_MOST_PIXELS = 2_000_000
_SCALE = 1.5  # pixels a point
_GRAY = 1  # FPDFBitmap_Gray

_create = typed_function("FPDFBitmap_CreateEx", c_void_p, c_int, c_int, c_int, c_void_p, c_int)
_render = typed_function(
    "FPDF_RenderPageBitmap", None, c_void_p, c_void_p, *(c_int,) * 6, is_long=True
)
_destroy = typed_function("FPDFBitmap_Destroy", None, c_void_p)


class Picture:
    """A page in grey, at most two million pixels."""

    def __init__(self, page: PdfPage) -> None:
        self._page = page
        points = max(1.0, page.width * page.height)
        self._scale = min(_SCALE, (_MOST_PIXELS / points) ** 0.5)
        width = max(1, round(page.width * self._scale))
        height = max(1, round(page.height * self._scale))
        self._pixels = np.full((height, width), 255, np.uint8)
        bitmap = _create(width, height, _GRAY, self._pixels.ctypes.data, width)
        if bitmap:
            _render(bitmap, page.handle, 0, 0, width, height, 0, 0)
            _destroy(bitmap)

    def contrast(self, box: npt.NDArray[np.float64]) -> int:
        """Darkest to lightest pixel, 0 to 255, inside a box of the page's PDF space."""
        x0, y0, x1, y1 = (self._page.shown(box[None])[0] * self._scale).tolist()
        rows = slice(max(0, int(y0)), max(0, int(np.ceil(y1))))
        inside = self._pixels[rows, max(0, int(x0)) : max(0, int(np.ceil(x1)))]
        return int(np.ptp(inside)) if inside.size else 0

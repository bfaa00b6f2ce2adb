"""The panel that shows a slice of the selected volume."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QRectF, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QImage, QPainter, QPaintEvent, QPalette, QResizeEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from dvidclient.connection import Connection
from dvidclient.gui.background import Background
from dvidclient.gui.catalogue import InstanceEntry, VolumeEntry
from dvidclient.gui.preview import PLANES, Picture, bounds, middle, picture
from dvidclient.gui.strip import MessageStrip

KIND = "preview"
# While the panel changes its size, a slice that fits it better is asked for once that has come to rest.
REST_MILLISECONDS = 150


class PictureView(QWidget):
    """A picture as large as the widget allows, its pixels as high and wide as they are in the world."""

    resized = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(160, 120)
        self.setAccessibleName("Slice")
        self._image: QImage | None = None
        self._aspect = 1.0
        self.words = ""

    def sizeHint(self) -> QSize:  # noqa: N802
        """A square."""
        return QSize(380, 380)

    @property
    def image(self) -> QImage | None:
        """What is shown, a pixel for each voxel or square of voxels."""
        return self._image

    def show_picture(self, shown: Picture) -> None:
        """Shows a slice."""
        height, width = shown.pixels.shape[:2]
        # The image does not keep what it is made of.
        self._image = QImage(shown.pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()
        self._aspect = shown.pixel_aspect
        self.words = ""
        self.update()

    def show_words(self, words: str) -> None:
        """Says why there is no picture."""
        self._image = None
        self.words = words
        self.update()

    def picture_place(self) -> QRectF:
        """Where the picture is drawn."""
        if self._image is None:
            return QRectF()
        wide, high = float(self._image.width()), self._image.height() * self._aspect
        zoom = min(self.width() / wide, self.height() / high)
        # A slab of a few voxels is not drawn as a line.
        size = (max(1.0, wide * zoom), max(1.0, high * zoom))
        return QRectF((self.width() - size[0]) / 2, (self.height() - size[1]) / 2, *size)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draws the picture, or the words in its place."""
        painter = QPainter(self)
        if self._image is None:
            painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
            words = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
            painter.drawText(self.rect().adjusted(12, 12, -12, -12), words, self.words)
            return
        place = self.picture_place()
        # Smaller than the picture: smooth; larger: each voxel as it is.
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, place.width() < self._image.width())
        painter.drawImage(place, self._image)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Tells of it."""
        super().resizeEvent(event)
        self.resized.emit()


class PreviewPanel(QWidget):
    """A slice through the middle of a volume, buttons for its direction, a slider for its place."""

    def __init__(self, background: Background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._background = background
        self._connection: Connection | None = None
        self._uuid = ""
        self._name = ""
        self._volume: VolumeEntry | None = None
        self.view = PictureView()
        self.strip = MessageStrip()
        self.strip.retry.connect(self.ask)
        self.caption = QLabel()
        self.caption.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.planes = QButtonGroup(self)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Position of the slice")
        self.position = QSpinBox()
        self.position.setAccessibleName("Position of the slice, as a number")
        self.position.setKeyboardTracking(False)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MILLISECONDS)
        self._rest.timeout.connect(self.ask)
        self._build()
        self.setFocusProxy(self.slider)
        self.show_nothing("")

    def _build(self) -> None:
        controls = QHBoxLayout()
        controls.setContentsMargins(0, 0, 0, 0)
        for number, plane in enumerate(PLANES):
            button = QToolButton()
            button.setText(plane)
            button.setCheckable(True)
            button.setToolTip(f"slices in x and y, y and z, or x and z: {plane}")
            button.setAccessibleName(f"Slices along {plane}")
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            self.planes.addButton(button, number)
            controls.addWidget(button)
        self.planes.button(0).setChecked(True)
        self.planes.idToggled.connect(self._turn)
        controls.addWidget(self.slider, 1)
        controls.addWidget(self.position)
        self.slider.valueChanged.connect(self.position.setValue)
        self.position.valueChanged.connect(self.slider.setValue)
        self.slider.valueChanged.connect(self.ask)
        self.view.resized.connect(self._resized)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(controls)
        column.addWidget(self.strip)
        column.addWidget(self.view, 1)
        column.addWidget(self.caption)

    @property
    def plane(self) -> str:
        """The direction of slices."""
        return list(PLANES)[self.planes.checkedId()]

    def show_volume(self, connection: Connection, uuid: str, instance: InstanceEntry) -> None:
        """Shows a volume at a version. The slice stays where it is, if it is another version of what was shown."""
        if instance.volume is None:
            self.show_nothing(f"{instance.name} is no volume: there is nothing to draw of {instance.typename}")
            return
        if instance.volume.size_xyz is None:
            self.show_nothing(f"{instance.name}: nothing was written to it, or the server does not tell where")
            return
        same = instance.name == self._name and instance.volume == self._volume and connection is self._connection
        self._connection, self._uuid, self._name, self._volume = connection, uuid, instance.name, instance.volume
        self._enable(True)
        if not same:
            self.view.show_words("…")
            self.caption.clear()
            self._turn()
        else:
            self.ask()

    def show_nothing(self, why: str) -> None:
        """Says why there is no slice."""
        self._volume = None
        self._name = ""
        self._background.drop(KIND)
        self.strip.clear()
        self.caption.clear()
        self.view.show_words(why)
        self._enable(False)
        self._set_range(0, 0, 0)
        self.position.setPrefix("")

    def _enable(self, enabled: bool) -> None:
        for widget in (self.slider, self.position, *self.planes.buttons()):
            widget.setEnabled(enabled)

    def _turn(self, _number: int = 0, checked: bool = True) -> None:
        """Slices in another direction, through the middle."""
        if not checked or self._volume is None:
            return
        low, high = bounds(self._volume, self.plane)
        axis = "xyz"[PLANES[self.plane][2]]
        self._set_range(low, high, middle(self._volume, self.plane))
        self.position.setPrefix(f"{axis} ")
        self.position.setToolTip(f"{axis} from {low} to {high}")
        self.ask()

    def _set_range(self, low: int, high: int, value: int) -> None:
        for widget in (self.slider, self.position):
            widget.blockSignals(True)
            widget.setRange(low, high)
            widget.setValue(value)
            widget.blockSignals(False)
        self.slider.setPageStep(max(1, (high - low) // 10))

    def _resized(self) -> None:
        if self._volume is not None:
            self._rest.start()

    def ask(self, *_: object) -> None:
        """Asks for the slice that is to be shown."""
        if self._volume is None or self._connection is None:
            return
        ratio = self.view.devicePixelRatioF()
        width, height = round(self.view.width() * ratio), round(self.view.height() * ratio)
        # Bound here: while the answer is under way, another volume may be selected.
        asked = partial(
            picture,
            self._connection,
            self._uuid,
            self._name,
            self._volume,
            self.plane,
            self.slider.value(),
            width,
            height,
        )
        self._background.ask(KIND, asked, self._show, self._fail)

    def _show(self, shown: Picture) -> None:
        self.strip.clear()
        self.caption.setText(shown.caption)
        self.caption.setToolTip(shown.caption)
        self.view.show_picture(shown)

    def _fail(self, message: str) -> None:
        self.caption.clear()
        self.view.show_words("no slice")
        self.strip.show_error(message)

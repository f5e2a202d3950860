// What of the picture is seen: zoom, pan and fit.

const ZOOM = { least: 0.12, most: 2.5, step: 1.25, readable: 0.65 };
const MARGIN = 12;

class View {
  constructor(stage, content, size) {
    this.stage = stage;
    this.size = size;
    this.content = content;
    this.isByHand = false;
    this._pointers = new Map();
  }

  attach(surface) {
    surface.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    surface.addEventListener("pointerdown", (event) => this._press(event));
    surface.addEventListener("pointermove", (event) => this._move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      surface.addEventListener(name, (event) => this._pointers.delete(event.pointerId));
    }
  }

  get fitScale() {
    const { clientWidth, clientHeight } = this.stage;
    const [x, y] = [(clientWidth - 2 * MARGIN) / this.size.width, (clientHeight - 2 * MARGIN) / this.size.height];
    return Math.max(ZOOM.least, Math.min(1, x, y));
  }

  // The whole picture, in the middle.
  fit() {
    this.isByHand = false;
    this._show(this.fitScale);
  }

  // The whole picture if it can be read then, else its beginning.
  open() {
    this.isByHand = false;
    this._show(Math.max(this.fitScale, ZOOM.readable));
  }

  zoom(factor, at = { x: this.stage.clientWidth / 2, y: this.stage.clientHeight / 2 }) {
    this.isByHand = true;
    const scale = Math.max(ZOOM.least, Math.min(ZOOM.most, this.scale * factor));
    const share = scale / this.scale;
    this._set(scale, at.x - (at.x - this.x) * share, at.y - (at.y - this.y) * share);
  }

  pan(dx, dy) {
    this.isByHand = true;
    this._set(this.scale, this.x + dx, this.y + dy);
  }

  // Brings a box of the picture into sight, moving no more than needed.
  reveal(box) {
    const shift = (from, to, room) =>
      from < MARGIN ? MARGIN - from : to > room - MARGIN ? Math.max(room - MARGIN - to, MARGIN - from) : 0;
    const [left, top] = [box.x * this.scale + this.x, box.y * this.scale + this.y];
    const dx = shift(left, left + box.width * this.scale, this.stage.clientWidth);
    const dy = shift(top, top + box.height * this.scale, this.stage.clientHeight);
    if (dx || dy) this._set(this.scale, this.x + dx, this.y + dy);
  }

  _show(scale) {
    const rest = (room, size) => Math.max(MARGIN, (room - size * scale) / 2);
    this._set(scale, rest(this.stage.clientWidth, this.size.width), rest(this.stage.clientHeight, this.size.height));
  }

  _set(scale, x, y) {
    Object.assign(this, { scale, x, y });
    this.content.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
    this.stage.style.touchAction = scale <= this.fitScale + 0.001 ? "pan-y" : "none";
  }

  _wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const corner = this.stage.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY / 300), { x: event.clientX - corner.left, y: event.clientY - corner.top });
  }

  _press(event) {
    this._pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }

  _move(event) {
    const before = this._pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...this._pointers].find(([id]) => id !== event.pointerId)?.[1];
    this._pointers.set(event.pointerId, now);
    if (other) this._pinch(before, now, other);
    else if (event.buttons & 1) this.pan(now.x - before.x, now.y - before.y);
    else this._pointers.delete(event.pointerId);
  }

  _pinch(before, now, other) {
    const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
    const corner = this.stage.getBoundingClientRect();
    this.zoom(distance(now) / distance(before), { x: other.x - corner.left, y: other.y - corner.top });
  }
}

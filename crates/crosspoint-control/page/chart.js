// Graphs over time, drawn as SVG. The newest point is at the right.
import { draw, make, setAttribute, setHidden, setText } from './dom.js';
import { clock } from './format.js';
import { axis } from './scale.js';

const HEIGHT = 132;

export class Chart {
  #series;
  #format;
  #least;
  #binary;
  #label;
  #parts;
  #points = [];
  #span = 600_000;
  #width = 0;
  #top = null;
  #cursor = null;

  // `series` are `{ name, class, value(point) }`; `format(value)` writes a value, `least` is the smallest upper end.
  constructor({ label, series, format, least = 10, binary = false }) {
    this.#series = series;
    this.#format = format;
    this.#least = least;
    this.#binary = binary;
    this.#label = label;
    this.#parts = this.#build();
    this.element = this.#parts.figure;
    new ResizeObserver(([{ contentRect }]) => this.#resize(contentRect.width)).observe(this.#parts.plot);
  }

  // Points have `at_ms`, the oldest is first. `span` is how many milliseconds are shown.
  show(points, span) {
    this.#points = points;
    this.#span = span;
    this.#paint();
  }

  #build() {
    const legend = this.#series.map(({ name, class: kind }) => ({ value: make('dd'), name, kind }));
    const lines = this.#series.map(({ class: kind }) => draw('path', { class: `line ${kind}` }));
    const area = draw('path', { class: `area ${this.#series[0].class}` });
    const cursor = draw('line', { class: 'cursor', y1: 0, y2: HEIGHT, visibility: 'hidden' });
    const grid = [0, 0.5, 1].map(height).map((y) => draw('line', { class: 'grid', x1: 0, y1: y, y2: y }));
    const svg = draw('svg', { 'aria-hidden': 'true', height: HEIGHT }, ...grid, area, ...lines, cursor);
    const ticks = [1, 0.5, 0].map((share) => ({ share, element: make('span', { class: 'tick' }) }));
    const times = [make('span'), make('span'), make('span', { text: 'now' })];
    const tip = make('div', { class: 'tip', hidden: true });
    const plot = make('div', {
      class: 'plot',
      role: 'img',
      tabindex: '0',
      'aria-label': this.#label,
      pointermove: (event) => this.#point(event.offsetX),
      pointerleave: () => this.#leave(),
      blur: () => this.#leave(),
      focus: () => this.#describe(),
      keydown: (event) => this.#key(event),
    }, svg, tip);
    const figure = make('figure', { class: 'chart' },
      make('figcaption', {},
        make('h2', { text: this.#label }),
        make('dl', { class: 'legend' }, ...legend.map(({ name, kind, value }) => (
          make('div', { class: kind }, make('dt', { text: name }), value)
        )))),
      make('div', { class: 'axes' },
        make('div', { class: 'ticks', 'aria-hidden': 'true' }, ...ticks.map(({ element }) => element)),
        plot,
        make('div', { class: 'times', 'aria-hidden': 'true' }, ...times)));
    return { figure, plot, svg, legend, lines, area, cursor, grid, ticks, times, tip };
  }

  #resize(width) {
    this.#width = Math.floor(width);
    setAttribute(this.#parts.svg, 'width', String(this.#width));
    setAttribute(this.#parts.svg, 'viewBox', `0 0 ${this.#width} ${HEIGHT}`);
    for (const line of this.#parts.grid) setAttribute(line, 'x2', String(this.#width));
    this.#paint();
  }

  #paint() {
    const { legend, lines, area, ticks, times } = this.#parts;
    const last = this.#points.at(-1);
    const shown = last === undefined ? [] : this.#points.filter(({ at_ms: at }) => at >= last.at_ms - this.#span);
    const most = Math.max(0, ...shown.flatMap((point) => this.#series.map(({ value }) => value(point))));
    this.#top = axis(this.#top, most, this.#least, this.#binary);
    ticks.forEach(({ share, element }) => setText(element, this.#format(share * this.#top)));
    setText(times[0], `${this.#span / 60_000} min ago`);
    setText(times[1], `${this.#span / 120_000} min`);
    this.#series.forEach(({ value }, index) => {
      setText(legend[index].value, last === undefined ? '–' : this.#format(value(last)));
      setAttribute(lines[index], 'd', this.#path(shown, value, false));
    });
    setAttribute(area, 'd', this.#path(shown, this.#series[0].value, true));
    if (this.#cursor !== null) this.#mark();
  }

  #x(at) {
    return this.#width * (1 - (this.#points.at(-1).at_ms - at) / this.#span);
  }

  // Where points are missing, the line is broken.
  #path(points, value, closed) {
    const runs = [];
    let before = -Infinity;
    for (const point of points) {
      if (point.at_ms - before > 2500) runs.push([]);
      runs.at(-1).push(`${this.#x(point.at_ms).toFixed(1)},${height(value(point) / this.#top).toFixed(1)}`);
      before = point.at_ms;
    }
    return runs.map((run) => {
      const line = `M${run.join('L')}`;
      if (!closed) return run.length === 1 ? `${line}h0.1` : line;
      const [left, right] = [run[0], run.at(-1)].map((corner) => corner.split(',')[0]);
      return `${line}L${right},${HEIGHT}L${left},${HEIGHT}Z`;
    }).join('');
  }

  #point(x) {
    if (this.#points.length === 0) return;
    const at = this.#points.at(-1).at_ms - (1 - x / this.#width) * this.#span;
    this.#cursor = at;
    this.#mark();
  }

  #key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined || this.#points.length === 0) return;
    event.preventDefault();
    const newest = this.#points.at(-1).at_ms;
    const moved = (this.#cursor ?? newest) + step * (event.shiftKey ? 30_000 : 1000);
    this.#cursor = Math.min(newest, Math.max(newest - this.#span, moved));
    this.#mark();
  }

  #leave() {
    this.#cursor = null;
    setHidden(this.#parts.tip, true);
    setAttribute(this.#parts.cursor, 'visibility', 'hidden');
  }

  // Shows the values at the cursor: those of the point that is nearest.
  #mark() {
    const { tip, cursor } = this.#parts;
    const nearest = this.#points.reduce((best, point) => (
      Math.abs(point.at_ms - this.#cursor) < Math.abs(best.at_ms - this.#cursor) ? point : best
    ));
    const x = Math.min(this.#width, Math.max(0, this.#x(nearest.at_ms)));
    setAttribute(cursor, 'x1', String(x));
    setAttribute(cursor, 'x2', String(x));
    setAttribute(cursor, 'visibility', 'visible');
    const rows = this.#series.map(({ name, class: kind, value }) => (
      make('span', { class: kind, text: `${name} ${this.#format(value(nearest))}` })
    ));
    tip.replaceChildren(make('b', { text: clock(nearest.at_ms) }), ...rows);
    setHidden(tip, false);
    tip.style.insetInlineStart = `${Math.min(Math.max(0, x - tip.offsetWidth / 2), this.#width - tip.offsetWidth)}px`;
    setAttribute(this.#parts.plot, 'aria-label', tip.innerText.replaceAll('\n', ', '));
  }

  #describe() {
    const last = this.#points.at(-1);
    const values = this.#series.map(({ name, value }) => `${name} ${last ? this.#format(value(last)) : 'unknown'}`);
    const help = 'The arrow keys show earlier values.';
    setAttribute(this.#parts.plot, 'aria-label', `${this.#label}: ${values.join(', ')}. ${help}`);
  }
}

function height(share) {
  return HEIGHT - 1 - share * (HEIGHT - 8);
}

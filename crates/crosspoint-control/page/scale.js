// Round numbers for the axis of a graph. Pure.

const DECIMAL = [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10];
const BINARY = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((power) => [2 ** power, 1.5 * 2 ** power]).concat(1024);

// The smallest round number that is not below the value, and at least `least`.
export function roundUp(value, least, binary) {
  const steps = binary ? BINARY : DECIMAL;
  const base = binary ? 1024 : 10;
  const wanted = Math.max(value, least);
  const power = base ** Math.floor(Math.log(wanted) / Math.log(base) + 1e-9);
  return steps.map((step) => step * power).find((number) => number >= wanted * (1 - 1e-9));
}

// The upper end of an axis. It grows at once, and shrinks only where much is free, so that it does not jump.
export function axis(before, value, least, binary) {
  const fitting = roundUp(value, least, binary);
  return before !== null && fitting < before && value > before / 4 ? before : fitting;
}

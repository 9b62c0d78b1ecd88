// Numbers, sizes and times as people read them. All of them are pure.

const WHOLE = new Intl.NumberFormat('en');
const NONE = '–';

export function count(value) {
  return WHOLE.format(value);
}

// A number that may be large, in little space: 0.4, 12, 1.2k, 34.5M. What is below `whole` has a digit behind the
// point.
export function short(value, whole = 100) {
  let rest = value;
  for (const unit of ['', 'k', 'M', 'G']) {
    if (rest < 999.5) return `${scaled(rest, unit === '' ? Math.min(whole, 10) : whole)}${unit}`;
    rest /= 1000;
  }
  return `${scaled(rest, whole)}T`;
}

// Bytes in powers of 1024, as the settings count them.
export function bytes(value) {
  if (value < 1023.5) return `${Math.round(value)} B`;
  let rest = value / 1024;
  for (const unit of ['KiB', 'MiB', 'GiB']) {
    if (rest < 1023.5) return `${scaled(rest)} ${unit}`;
    rest /= 1024;
  }
  return `${scaled(rest)} TiB`;
}

export function bytesPerSecond(value) {
  return `${bytes(value)}/s`;
}

function scaled(value, whole = 100) {
  return value < whole - 0.05 ? String(Math.round(value * 10) / 10) : WHOLE.format(Math.round(value));
}

// A time span in its two largest units: 3d 4h, 12m 5s.
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return '0s';
  const shown = parts.slice(first, first + 2).filter(([amount]) => amount > 0);
  return shown.map(([amount, unit]) => `${amount}${unit}`).join(' ');
}

export function roundTrip(microseconds) {
  if (microseconds === null || microseconds === undefined) return NONE;
  const milliseconds = microseconds / 1000;
  if (milliseconds < 10) return `${milliseconds.toFixed(2)} ms`;
  if (milliseconds < 100) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 10_000) return `${WHOLE.format(Math.round(milliseconds))} ms`;
  return `${WHOLE.format(Math.round(milliseconds / 1000))} s`;
}

// A point of time on the clock of this machine: with the day if it is not today's.
export function clock(milliseconds, now = Date.now()) {
  const at = new Date(milliseconds);
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
  if (at.toDateString() === new Date(now).toDateString()) return time;
  return `${day(at)} ${time}`;
}

function day(at) {
  return at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
}

// The words of the hub for reasons, such as `slow_receiver`.
export function words(word) {
  return word.replaceAll('_', ' ');
}

export function plural(amount, one, many = `${one}s`) {
  return `${count(amount)} ${amount === 1 ? one : many}`;
}

// The figures of the last ten minutes, one point for each second.
import { get } from './api.js';

const KEPT = 600;

export class History {
  points = [];
  interval = 1000;
  #loading = false;

  // Adds the newest point, or loads all of them if some are missing.
  async add(point) {
    const newest = this.points.at(-1)?.at_ms;
    if (newest !== undefined && point.at_ms > newest && point.at_ms - newest < 1.9 * this.interval) {
      this.points.push(point);
      if (this.points.length > KEPT) this.points.shift();
      return;
    }
    if (newest !== undefined && newest - point.at_ms >= 0 && newest - point.at_ms < this.interval) return;
    await this.#load();
  }

  async #load() {
    if (this.#loading) return;
    this.#loading = true;
    try {
      const { interval_ms: interval, points } = await get('history');
      this.interval = interval;
      this.points = points;
    } catch {
      // The next point tries again, and a hub that is gone is told of elsewhere.
    } finally {
      this.#loading = false;
    }
  }
}

// What the page says by itself: whether the hub answers, what was done, and what only those need who hear the page.
import { make, setHidden, setText } from './dom.js';

const TOLD_MS = 6000;

export class Notices {
  #banner;
  #text;
  #wait;
  #retry;
  #toasts;
  #heard;
  #counting = 0;
  #lost = false;
  #outdated = false;

  constructor(document) {
    this.#banner = document.querySelector('#banner');
    this.#text = this.#banner.querySelector('[role=status]');
    this.#wait = this.#banner.querySelector('.wait');
    this.#retry = this.#banner.querySelector('button');
    this.#toasts = document.querySelector('#toasts');
    this.#heard = document.querySelector('#announce');
  }

  onRetry(retry) {
    this.#retry.addEventListener('click', () => {
      if (this.#lost) retry();
      else location.reload();
    });
  }

  // The state of the stream (`Live`).
  connection(state, { retryAt, error }) {
    clearInterval(this.#counting);
    if (state === 'lost') {
      this.#lost = true;
      // What the hub itself says against it is said, such as that too many look at it.
      const refused = error?.status >= 400;
      this.#say(refused ? error.message : 'The hub does not answer. What you see is old.', 'Try now', 'bad');
      const tell = () => setText(this.#wait, `Next try in ${Math.max(0, Math.ceil((retryAt - Date.now()) / 1000))} s.`);
      tell();
      this.#counting = setInterval(tell, 250);
    } else if (state === 'live') {
      if (this.#lost) this.announce('The hub answers again.');
      this.#lost = false;
      this.#settle();
    } else if (state !== 'connecting') {
      this.#lost = false;
      this.#settle();
    }
  }

  // Whether the page is of another version than the hub.
  outdated(outdated) {
    if (this.#outdated === outdated) return;
    this.#outdated = outdated;
    if (!this.#lost) this.#settle();
  }

  tell(text, kind = 'good') {
    const toast = make('p', { class: `toast ${kind}`, text });
    this.#toasts.append(toast);
    setTimeout(() => toast.remove(), TOLD_MS);
  }

  announce(text) {
    // The same text again is heard again only if it was taken away between.
    this.#heard.textContent = '';
    requestAnimationFrame(() => setText(this.#heard, text));
  }

  #settle() {
    setText(this.#wait, '');
    if (this.#outdated) this.#say('The hub has another version now than this page.', 'Reload', 'fair');
    else setHidden(this.#banner, true);
  }

  #say(text, button, kind) {
    this.#banner.dataset.kind = kind;
    setHidden(this.#banner, false);
    setText(this.#text, text);
    setText(this.#retry, button);
  }
}

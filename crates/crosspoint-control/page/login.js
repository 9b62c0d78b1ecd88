// Where the hub asks for the operator's token.
import { Failed, post } from './api.js';
import { make, setHidden, setText } from './dom.js';

const HELP = 'It is set by control.token, or stands in the file that control.token_file names. '
  + 'Otherwise the hub has made one for this run, and has printed it when it was started.';

export class LoginView {
  title = 'Sign in';
  #page;
  #field;
  #error = make('p', { class: 'error', role: 'alert', hidden: true });
  #button = make('button', { type: 'submit', class: 'primary', text: 'Sign in' });

  // `possible`: whether this hub lets anybody sign in.
  constructor(page, possible) {
    this.#page = page;
    this.#field = make('input', {
      type: 'password',
      id: 'token',
      name: 'token',
      autocomplete: 'current-password',
      required: true,
      maxlength: '4096',
      'aria-describedby': 'token-help',
    });
    const seen = make('input', {
      type: 'checkbox',
      change: ({ target }) => {
        this.#field.type = target.checked ? 'text' : 'password';
      },
    });
    const form = make('form', { submit: (event) => this.#submit(event) },
      // Browsers keep a token under a name.
      make('input', { type: 'text', name: 'username', value: 'operator', autocomplete: 'username', hidden: true }),
      make('label', { for: 'token', text: 'Token of the operator' }), this.#field,
      make('p', { class: 'hint', id: 'token-help', text: HELP }),
      make('label', { class: 'check' }, seen, 'Show the token'),
      this.#error, this.#button);
    const closed = make('p', { text: 'The control center of this hub is not served to this address.' });
    this.element = make('section', { class: 'view login' },
      make('h1', { tabindex: '-1', text: this.title }), possible ? form : closed);
  }

  watch() {
    return null;
  }

  update() {}

  show() {}

  focus() {
    this.#field.focus();
  }

  async #submit(event) {
    event.preventDefault();
    this.#button.disabled = true;
    setHidden(this.#error, true);
    try {
      await post('login', { token: this.#field.value });
      this.#page.access();
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      setText(this.#error, SAID[error.status] ?? error.message);
      setHidden(this.#error, false);
      this.#field.focus();
      this.#field.select();
    } finally {
      this.#button.disabled = false;
    }
  }
}

const SAID = {
  401: 'This is not the token of the operator.',
  429: 'Too many wrong tokens came from your address. Try again in a minute.',
};

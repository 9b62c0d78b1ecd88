// What somebody fills in to enter a channel, and where he says something.
import { make, setHidden, setText } from './dom.js';
import { kept } from './kept.js';
import { plain } from './names.js';
import { REASON } from './native.js';

const HELP = {
  room: 'If nothing has this name, a room is created.',
  name: 'Others see it. Without one you have your member number.',
  token: 'What programs present to this hub to be let in. It is not the token of the operator.',
};

export class EnterForm {
  #fields = {
    room: field('room', 'Room', { required: true }),
    name: field('name', 'Your name', { value: kept('talk-name') ?? '' }),
    token: field('token', 'Token', { type: 'password', maxlength: '4096' }),
    password: field('password', 'Password of the channel', { type: 'password', maxlength: '1024' }),
  };
  #error = make('p', { class: 'error', role: 'alert', hidden: true });
  #enter = make('button', { type: 'submit', class: 'primary', text: 'Enter' });
  #create = make('button', {
    type: 'submit',
    text: 'Create the room',
    hidden: true,
    click: () => {
      this.creates = true;
    },
  });

  // `anyRoom`: whether the room is chosen here.
  constructor(anyRoom, submit) {
    // Whether a room is made if nothing has the name.
    this.creates = anyRoom;
    const { room, name, token, password } = this.#fields;
    this.element = make('form', { class: 'enter', submit },
      room.element, name.element, token.element, password.element, this.#error,
      make('div', { class: 'actions' }, this.#enter, this.#create));
    this.#chooses(anyRoom);
    setHidden(token.element, true);
    setHidden(password.element, true);
  }

  get values() {
    const texts = Object.entries(this.#fields).map(([name, { input }]) => [name, input.value]);
    return { ...Object.fromEntries(texts), name: this.#fields.name.input.value.trim() };
  }

  set busy(busy) {
    this.#enter.disabled = busy;
    this.#create.disabled = busy;
  }

  // Shows the form after the end, with what has gone wrong, or hides it.
  show(shown, wrong = '') {
    setHidden(this.element, !shown);
    this.#says(wrong);
    this.#chooses(false);
    setHidden(this.#create, true);
    setText(this.#enter, 'Enter again');
    if (shown) this.#enter.focus();
  }

  // Says why the hub has refused (`Ended`), and asks for what it wants.
  refused({ reason, message }) {
    const { name, token, password } = this.#fields;
    const wanted = { [REASON.NotAllowed]: token, [REASON.WrongPassword]: password }[reason];
    if (wanted !== undefined) setHidden(wanted.element, false);
    setHidden(this.#create, reason !== REASON.NoSuchName);
    this.#says(reason === REASON.NameTaken ? 'Another session has this name.' : `The hub says: ${plain(message)}.`);
    (wanted ?? name).input.focus();
  }

  #says(wrong) {
    setText(this.#error, wrong);
    setHidden(this.#error, wrong === '');
  }

  #chooses(room) {
    setHidden(this.#fields.room.element, !room);
    this.#fields.room.input.disabled = !room;
  }
}

function field(name, label, attributes) {
  const id = `talk-${name}`;
  const input = make('input', { id, autocomplete: 'off', maxlength: '255', ...attributes });
  const parts = [make('label', { for: id, text: label }), input];
  if (HELP[name] !== undefined) {
    parts.push(make('p', { class: 'hint', id: `${id}-help`, text: HELP[name] }));
    input.setAttribute('aria-describedby', `${id}-help`);
  }
  return { input, element: make('div', { class: 'field' }, ...parts) };
}

// Where something is said. Enter says it; with the shift key it begins a line.
export class Composer {
  #say;
  #text = make('textarea', { 'aria-label': 'Message', rows: '2', placeholder: 'Message' });
  #error = make('p', { class: 'error', role: 'alert', hidden: true });

  // `say(text)` gives what is wrong with the text, or null.
  constructor(say) {
    this.#say = say;
    this.#text.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#speak();
    });
    const submit = (event) => {
      event.preventDefault();
      this.#speak();
      this.focus();
    };
    const send = make('button', { type: 'submit', class: 'primary', text: 'Send' });
    this.element = make('form', { class: 'composer', submit }, this.#text, send, this.#error);
  }

  focus() {
    this.#text.focus();
  }

  #speak() {
    if (this.#text.value.trim() === '') return;
    const wrong = this.#say(this.#text.value);
    setText(this.#error, wrong ?? '');
    setHidden(this.#error, wrong === null);
    if (wrong === null) this.#text.value = '';
  }
}

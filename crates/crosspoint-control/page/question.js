// Asks before something is ended. The dialog keeps the focus inside, and gives it back.

export class Question {
  #dialog;
  #title;
  #text;
  #yes;
  #answer = null;

  constructor(dialog) {
    this.#dialog = dialog;
    this.#title = dialog.querySelector('h2');
    this.#text = dialog.querySelector('p');
    this.#yes = dialog.querySelector('[value=yes]');
    for (const button of dialog.querySelectorAll('button')) {
      button.addEventListener('click', () => dialog.close(button.value));
    }
    dialog.addEventListener('close', () => this.#answer?.(dialog.returnValue === 'yes'));
    // A press beside the dialog is a no.
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog) dialog.close('no');
    });
  }

  // Gives true for yes.
  ask({ title, text, yes }) {
    this.#title.textContent = title;
    this.#text.textContent = text;
    this.#yes.textContent = yes;
    this.#dialog.returnValue = 'no';
    this.#dialog.showModal();
    return new Promise((resolve) => {
      this.#answer = resolve;
    });
  }
}

// The page of the control center: views, the stream of events, and what is around the views.
import { get, post } from './api.js';
import { ChannelView } from './channel.js';
import { channelsView } from './channels.js';
import { heard, tick } from './clock.js';
import { setAttribute, setHidden, setText } from './dom.js';
import { endsView } from './ends.js';
import { count, short } from './format.js';
import { History } from './history.js';
import { Live } from './live.js';
import { LoginView } from './login.js';
import { Notices } from './notices.js';
import { Overview } from './overview.js';
import { Question } from './question.js';
import { go, parse } from './route.js';
import { servicesView } from './services.js';
import { SessionView } from './session.js';
import { sessionsView } from './sessions.js';
import { TalkView } from './talk.js';
import { themeSwitch } from './theme_switch.js';

// A page that is not looked at lets the hub rest after this time.
const UNSEEN_MS = 30_000;

const VIEWS = {
  overview: (page, route) => new Overview(page, route),
  sessions: (page, route) => (route.id === null ? sessionsView(page, route) : new SessionView(page, route)),
  channels: (page, route) => (route.id === null ? channelsView(page, route) : new ChannelView(page, route)),
  talk: (page, route) => new TalkView(page, route),
  services: servicesView,
  ends: endsView,
};

class App {
  // What views may use: the last figures, the history, and the functions below.
  hub = null;
  history = new History();
  #main = document.querySelector('main');
  #notices = new Notices(document);
  #question = new Question(document.querySelector('dialog'));
  #live = new Live({
    event: (name, data) => this.#event(name, data),
    state: (state, detail) => this.#state(state, detail),
  });
  #view = null;
  #shown = '';
  #paused = false;
  #away = 0;
  // The version of the hub from which this page came.
  #version = null;
  #parts = {
    state: document.querySelector('#state'),
    name: document.querySelector('#hub-name'),
    version: document.querySelector('#version'),
    signOut: document.querySelector('#sign-out'),
    links: Array.from(document.querySelectorAll('nav a[data-view]')),
  };

  async start() {
    themeSwitch(document.querySelectorAll('input[name=theme]'));
    // The address says which view there is, so this leads to no other one.
    document.querySelector('.skip').addEventListener('click', (event) => {
      event.preventDefault();
      this.#main.focus();
    });
    this.#parts.state.addEventListener('click', () => this.#pause());
    this.#parts.signOut.addEventListener('click', () => this.#signOut());
    this.#notices.onRetry(() => this.#live.hurry());
    window.addEventListener('hashchange', () => this.#route());
    window.addEventListener('online', () => this.#live.hurry());
    window.addEventListener('pagehide', () => this.#view?.leave?.());
    document.addEventListener('visibilitychange', () => this.#seen());
    document.addEventListener('keydown', (event) => this.#key(event));
    setInterval(() => this.#tick(), 1000);
    await this.#access();
  }

  ask(question) {
    return this.#question.ask(question);
  }

  // Tells what was done. `kind` is `bad` for what went wrong.
  tell(text, kind) {
    this.#notices.tell(text, kind);
  }

  // Says something to those who hear the page.
  announce(text) {
    this.#notices.announce(text);
  }

  // Asks the hub for the present state at once.
  refresh() {
    this.#view.table?.release?.();
    this.#watch(true);
  }

  // The hub may not know this browser (any more), or knows it now.
  access() {
    this.#access();
  }

  // Shows the views if this browser may see them, or else asks for the token.
  async #access() {
    let access;
    try {
      access = await get('access');
    } catch {
      // The stream says that the hub is gone, and goes on when it is back.
      access = { open: true, signed_in: false, login: false };
    }
    const allowed = access.open || access.signed_in;
    setHidden(this.#parts.signOut, !access.signed_in);
    document.body.classList.toggle('signed-out', !allowed);
    if (!allowed) {
      this.#live.stop();
      const login = new LoginView(this, access.login);
      this.#shown = '';
      this.#show(login);
      login.focus();
      return;
    }
    this.#route();
    if (!this.#paused) this.#live.start();
  }

  async #signOut() {
    try {
      await post('logout');
    } catch (error) {
      this.tell(error.message, 'bad');
    }
    this.#access();
  }

  #route() {
    if (document.body.classList.contains('signed-out')) return;
    const route = parse(location.hash);
    if (!Object.hasOwn(VIEWS, route.view)) {
      go('#/overview', true);
      return;
    }
    const shown = `${route.view}/${route.id ?? ''}`;
    if (shown === this.#shown) this.#view.update(route.query);
    else {
      const first = this.#shown === '';
      this.#shown = shown;
      this.#show(VIEWS[route.view](this, route));
      if (!first) this.#main.querySelector('h1')?.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    const section = route.view === 'talk' ? 'channels' : route.view;
    for (const link of this.#parts.links) {
      setAttribute(link, 'aria-current', link.dataset.view === section ? 'page' : null);
    }
    this.#watch();
  }

  #show(view) {
    this.#view?.leave?.();
    this.#view = view;
    this.#main.replaceChildren(view.element);
    if (this.hub !== null) view.show('hub', this.hub);
    this.#title();
  }

  #title() {
    document.title = [this.#view.title, this.hub?.name, 'Crosspoint'].filter(Boolean).join(' · ');
  }

  #watch(anew = false) {
    const watched = this.#view.watch();
    if (watched === null) return;
    const query = new URLSearchParams({ views: ['hub', ...watched.views].join(',') });
    for (const [name, value] of Object.entries(watched.query)) {
      if (value !== '' && value !== null && value !== undefined) query.set(name, String(value));
    }
    this.#live.watch(query.toString(), anew);
  }

  #event(name, data) {
    if (name === 'point') {
      this.history.add(data).then(() => this.#view.show('point', data));
      return;
    }
    if (name === 'hub') this.#hub(data);
    this.#view.show(name, data);
  }

  #hub(hub) {
    this.#version ??= hub.version;
    heard(hub.now_ms);
    this.hub = hub;
    this.#notices.outdated(this.#version !== hub.version);
    setText(this.#parts.name, hub.name || 'Crosspoint');
    setText(this.#parts.version, hub.version);
    const amounts = { sessions: hub.sessions, channels: hub.channels + hub.rooms, services: hub.services };
    for (const link of this.#parts.links) {
      const badge = link.querySelector('.amount');
      if (badge === null) continue;
      const amount = amounts[link.dataset.view];
      setText(badge, amount < 100_000 ? count(amount) : short(amount));
    }
    this.#title();
  }

  #state(state, detail) {
    const { state: button } = this.#parts;
    const texts = { connecting: 'Connecting', live: 'Live', lost: 'No connection', paused: 'Paused' };
    button.dataset.state = state;
    setText(button.querySelector('span'), texts[state]);
    button.setAttribute('aria-pressed', String(this.#paused));
    this.#notices.connection(state, detail);
    document.body.classList.toggle('stale', state === 'lost');
    if ([401, 403].includes(detail.error?.status)) this.#access();
  }

  // What is old does not go on.
  #tick() {
    if (this.#parts.state.dataset.state === 'live') tick(this.#main);
  }

  #pause() {
    this.#paused = !this.#paused;
    if (this.#paused) this.#live.stop();
    else this.#live.start();
  }

  #seen() {
    clearTimeout(this.#away);
    if (document.visibilityState === 'hidden') {
      this.#away = setTimeout(() => this.#live.stop(), UNSEEN_MS);
    } else if (!this.#paused && !document.body.classList.contains('signed-out')) {
      this.#live.start();
    }
  }

  // A slash leads to the search.
  #key(event) {
    const typing = event.target.closest?.('input, textarea, select');
    if (event.key !== '/' || typing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (this.#view?.find === undefined) return;
    event.preventDefault();
    this.#view.find();
  }
}

await new App().start();

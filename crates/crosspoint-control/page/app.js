// Shows the figures of the hub, live.

const state = document.getElementById('state')
const figures = document.getElementById('figures')

function show(hub) {
  state.textContent = `Version ${hub.version}`
  figures.replaceChildren()
  for (const name of ['connections', 'sessions', 'channels', 'rooms', 'links', 'services']) {
    const term = document.createElement('dt')
    const value = document.createElement('dd')
    term.textContent = name
    value.textContent = hub[name]
    figures.append(term, value)
  }
}

const access = await (await fetch('/api/v1/access')).json()
if (access.actor === null) {
  state.textContent = 'This hub shows itself to its own machine, or with its token.'
} else {
  const events = new EventSource('/api/v1/events')
  events.addEventListener('hub', event => show(JSON.parse(event.data)))
  events.addEventListener('error', () => { state.textContent = 'The hub does not answer.' })
}

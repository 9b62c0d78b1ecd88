// The page of the control center, in Chromium, against real hubs. Prints `ok CASE` or `FAIL CASE why` for each case;
// exits with 0 if all went well. The environment variable CHROMIUM may name the browser.
//
//   node control_page.mjs PROGRAM [CASE ...]
import { run } from './cases.mjs';
import { conditions } from './control_conditions.mjs';
import { talk } from './control_talk.mjs';
import { views } from './control_views.mjs';
import { cleanly } from './control_world.mjs';

const cases = Object.entries({ ...views, ...talk, ...conditions }).map(([name, act]) => [name, cleanly(act)]);
// Ten thousand connections take a while.
const LIMIT_MS = 120_000;
await run(process.argv.slice(3), Object.fromEntries(cases), {}, async () => {}, LIMIT_MS);

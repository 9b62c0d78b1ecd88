// The switch between the theme of the system, light and dark.
import { keep, kept } from './kept.js';

export function themeSwitch(inputs) {
  const chosen = kept('theme') ?? 'system';
  for (const input of inputs) {
    input.checked = input.value === chosen;
    input.addEventListener('change', () => {
      if (input.value === 'system') delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = input.value;
      keep('theme', input.value === 'system' ? null : input.value);
    });
  }
}

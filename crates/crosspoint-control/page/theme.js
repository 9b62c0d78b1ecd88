// Sets the theme before anything is painted, which is why this is no module. `theme_switch.js` changes it.
(() => {
  try {
    const theme = localStorage.getItem('crosspoint-theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // A browser that keeps nothing for pages: the theme of the system.
  }
})();

// What the browser keeps for this page between two visits. Some browsers keep nothing, which is no error.

export function kept(key) {
  try {
    return localStorage.getItem(`crosspoint-${key}`);
  } catch {
    return null;
  }
}

export function keep(key, value) {
  try {
    if (value === null) localStorage.removeItem(`crosspoint-${key}`);
    else localStorage.setItem(`crosspoint-${key}`, value);
  } catch {
    // As above.
  }
}

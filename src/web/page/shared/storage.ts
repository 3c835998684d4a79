/** Reads a stored text; null if there is none or storage is unavailable (private mode, policy). */
export const load = (name: string): string | null => {
  try {
    return localStorage.getItem(name)
  } catch {
    return null
  }
}

/** Stores a text if storage is available; null deletes it. */
export const save = (name: string, text: string | null): void => {
  try {
    if (text === null) localStorage.removeItem(name)
    else localStorage.setItem(name, text)
  } catch {
    // Not required: the default is used at the next visit.
  }
}

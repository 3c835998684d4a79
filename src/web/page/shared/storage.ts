/** Reads a stored text; null if there is none or storage is unavailable (private mode, policy). */
export const load = (name: string, store: 'local' | 'session' = 'local'): string | null => {
  try {
    return storeOf(store).getItem(name)
  } catch {
    return null
  }
}

/** Stores a text if storage is available; null deletes it. */
export const save = (name: string, text: string | null, store: 'local' | 'session' = 'local'): void => {
  try {
    if (text === null) storeOf(store).removeItem(name)
    else storeOf(store).setItem(name, text)
  } catch {
    // Not required: the default is used at the next visit.
  }
}

const storeOf = (store: 'local' | 'session'): Storage => (store === 'local' ? localStorage : sessionStorage)

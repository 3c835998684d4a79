/** What was kept under a name, or null; a browser that keeps nothing (private mode, policy) is no reason to fail. */
export const load = (name: string, store: 'local' | 'session' = 'local'): string | null => {
  try {
    return storeOf(store).getItem(name)
  } catch {
    return null
  }
}

/** Keeps a text under a name, as far as the browser lets it; null forgets it. */
export const save = (name: string, text: string | null, store: 'local' | 'session' = 'local'): void => {
  try {
    if (text === null) storeOf(store).removeItem(name)
    else storeOf(store).setItem(name, text)
  } catch {
    // Nothing depends on it: at the next visit the page asks again.
  }
}

const storeOf = (store: 'local' | 'session'): Storage => (store === 'local' ? localStorage : sessionStorage)

import { useState } from 'preact/hooks'
import { ApiError, errorText } from './api.ts'
import { html, type View } from './html.ts'
import { sharedText as t } from './messages.ts'
import { signIn } from './session.ts'

/** Validates a token before it is stored in the session. @throws ApiError if it is refused */
const check = async (token: string): Promise<void> => {
  const answer = await fetch('/api/events?limit=1', { headers: { Authorization: `Bearer ${token}` } })
  if (answer.status === 401) throw new ApiError(401, (await answer.json()) as Record<string, unknown>)
}

/** Sign-in form, shown instead of the page while the gateway requires a token. */
export const SignIn = ({ reason }: { readonly reason: string }): View => {
  const [token, setToken] = useState('')
  const [problem, setProblem] = useState('')
  const [checking, setChecking] = useState(false)

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    setChecking(true)
    try {
      // A pasted token can include "Bearer" and line breaks.
      const bare = token.replace(/^\s*Bearer\s+/i, '').replace(/\s+/g, '')
      await check(bare)
      signIn(bare)
    } catch (error) {
      setProblem(errorText(error))
      setChecking(false)
    }
  }

  return html`
    <main class="narrow" id="main" tabindex="-1">
      <form class="panel sign-in" onSubmit=${submit}>
        <h1>${t('tokenTitle')}</h1>
        <p class="faint">${t('tokenWhy', { reason })}</p>
        <p>${t('tokenHow')}</p>
        <label for="token">${t('tokenLabel')}</label>
        <input
          id="token"
          class="mono"
          type="password"
          required
          autocomplete="off"
          spellcheck=${false}
          value=${token}
          onInput=${(event: InputEvent) => setToken((event.target as HTMLInputElement).value)}
        />
        <p class="problem" role="alert">${problem}</p>
        <button type="submit" class="primary" disabled=${checking}>${checking ? t('tokenChecking') : t('tokenUse')}</button>
      </form>
    </main>
  `
}

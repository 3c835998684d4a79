import { useState } from 'preact/hooks'
import type { Caller } from '../caller.ts'
import { api, errorText } from '../shared/api.ts'
import { escapeLine } from '../shared/escape-control-chars.ts'
import { html, type View } from '../shared/html.ts'
import { load, save } from '../shared/storage.ts'
import { roomText as t } from './messages.ts'
import { authorKeys, fixedName } from './model/author.ts'

/** Name of the stored name under which the user writes. */
export const TYPED_NAME = 'name'

/** A message that is being sent or has failed. A retry uses the same key, so that it is stored once. */
interface Draft {
  readonly key: string
  readonly name: string
  readonly text: string
  /** Empty while the message is being sent. */
  readonly problem: string
}

/** Returns a random key; crypto.randomUUID is missing on pages over plain HTTP. */
const newKey = (): string =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')

/** Publishes a message. @returns its db_id, undefined if it is not stored yet. @throws ApiError */
const post = async (eventId: string, caller: Caller, { key, name, text }: Draft): Promise<number | undefined> => {
  const { data } = await api<{ data?: { db_id?: number } }>(`/api/events/${encodeURIComponent(eventId)}/messages`, {
    method: 'POST',
    headers: { 'Idempotency-Key': key },
    body: {
      ...authorKeys(caller, name),
      message_type: 'user_message',
      message_category: 'agent',
      message_content: { type: 'text', text },
    },
  })
  return data?.db_id
}

interface NotSentProps {
  readonly draft: Draft
  readonly onRetry: () => void
  readonly onDiscard: () => void
}

const NotSent = ({ draft, onRetry, onDiscard }: NotSentProps): View => html`
  <div class="not-sent">
    <p class="problem" id="problem" role="alert">${t('notSent', { why: draft.problem })}</p>
    <button type="button" class="small" id="send-again" onClick=${onRetry}>${t('retry')}</button>
    <button type="button" class="small quiet" id="discard" onClick=${onDiscard}>${t('discard')}</button>
  </div>
`

interface NameProps {
  readonly fixed: string | null
  readonly name: string
  readonly onName: (name: string) => void
}

/** The name of the writer: a text if the token determines it, otherwise a field. */
const Name = ({ fixed, name, onName }: NameProps): View => {
  if (fixed !== null) {
    const text = escapeLine(fixed)
    return html`<p class="author" id="author" dir="auto" title=${t('writeAs', { who: text })}>
      <span class="unseen">${t('writeAs', { who: text })}</span><span aria-hidden="true">${text}</span>
    </p>`
  }
  return html`
    <label class="unseen" for="name">${t('name')}</label>
    <input
      id="name"
      maxlength="100"
      autocomplete="nickname"
      placeholder=${t('name')}
      value=${name}
      onInput=${({ currentTarget }: { currentTarget: HTMLInputElement }) => onName(currentTarget.value)}
    />
  `
}

interface ComposerProps {
  readonly eventId: string
  readonly caller: Caller
  /** Called with the db_id of a stored message. */
  readonly onPosted: (id: number) => void
}

/** Form for writing messages to a room, for a caller who may. */
export const Composer = ({ eventId, caller, onPosted }: ComposerProps): View => {
  const [name, setName] = useState(load(TYPED_NAME) ?? '')
  const [text, setText] = useState('')
  const [draft, setDraft] = useState<Draft | null>(null)
  const sending = draft !== null && draft.problem === ''

  const send = async (next: Draft): Promise<void> => {
    setDraft({ ...next, problem: '' })
    try {
      const id = await post(eventId, caller, next)
      setDraft(null)
      if (id !== undefined) onPosted(id)
      setText((current) => (current === next.text ? '' : current))
    } catch (error) {
      setDraft({ ...next, problem: errorText(error) })
    }
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    if (sending || text.trim() === '') return
    // Submitting the same text again is a retry of the same message.
    const isSame = draft !== null && draft.text === text && draft.name === name.trim()
    send(isSame ? draft : { key: newKey(), name: name.trim(), text, problem: '' })
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    // Enter during IME composition confirms a word and does not send.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    submit(event)
  }
  return html`
    <form class="composer" id="post" onSubmit=${submit}>
      ${
        draft !== null &&
        draft.problem !== '' &&
        html`<${NotSent} draft=${draft} onRetry=${() => send(draft)} onDiscard=${() => setDraft(null)} />`
      }
      <${Name}
        fixed=${fixedName(caller)}
        name=${name}
        onName=${(next: string) => {
          setName(next)
          save(TYPED_NAME, next)
        }}
      />
      <label class="unseen" for="text">${t('write')}</label>
      <textarea
        id="text"
        rows="1"
        placeholder=${t('writeHint')}
        title=${t('writeHow')}
        value=${text}
        onInput=${({ currentTarget }: { currentTarget: HTMLTextAreaElement }) => setText(currentTarget.value)}
        onKeyDown=${onKeyDown}
      ></textarea>
      <button type="submit" class="primary" id="send" disabled=${sending || text.trim() === ''}>
        ${t(sending ? 'sending' : 'send')}
      </button>
    </form>
  `
}

import type { z } from 'zod'
import type { ErrorCode } from '../../core/errors.ts'
import { EventId } from '../../core/message.ts'
import { FilterSchema } from '../parameters.ts'

export type Tag = 'messages' | 'streams' | 'access' | 'operation' | 'page'

/** Who may make a call where tokens are needed. `stream`: a ticket serves too. */
export type AuthRequirement = 'nothing' | 'token' | 'stream'

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly schema: z.ZodType
  readonly meaning: string
  readonly required?: true
  /** The parameter may be given several times, rather than with commas. */
  readonly explode?: true
  /** Used in the example call, which a test makes. */
  readonly example?: unknown
}

export interface RequestBodySpec {
  readonly schema: z.ZodType
  readonly meaning: string
  readonly example: unknown
}

export interface ResponseSpec {
  readonly meaning: string
  /** Of a JSON body. */
  readonly schema?: z.ZodType
  /** Of any other body: its type, and what it looks like. */
  readonly text?: { readonly type: string; readonly example?: string }
  readonly example?: unknown
}

/** What one call is for, what it takes and what it answers. */
export interface Operation {
  readonly tag: Tag
  readonly summary: string
  readonly description?: string
  readonly needs: AuthRequirement
  readonly parameters?: readonly Parameter[]
  readonly body?: RequestBodySpec
  readonly answers: Readonly<Record<number, ResponseSpec>>
  /** Beside those that any such call can meet. */
  readonly errors?: readonly ErrorCode[]
}

/** By `METHOD path`, the path as the router has it. */
export type Operations = Readonly<Record<string, Operation>>

/** Any call. */
export const COMMON_ERRORS: readonly ErrorCode[] = [
  'invalid_path',
  'url_too_long',
  'host_forbidden',
  'malformed_request',
  'headers_too_large',
  'request_timeout',
  'overloaded',
  'internal',
]
/** A call for which a token may be needed. */
export const AUTH_ERRORS: readonly ErrorCode[] = [
  'token_missing',
  'token_invalid',
  'token_expired',
  'token_revoked',
  'token_in_query',
  'keys_unavailable',
  'event_forbidden',
  'scope_missing',
]
/** A call that changes something. */
export const STATE_CHANGING_ERRORS: readonly ErrorCode[] = ['origin_forbidden']
/** A call that reads or writes the log. */
export const STORAGE_ERRORS: readonly ErrorCode[] = ['storage_unavailable', 'storage_busy', 'storage_lost']

export const EXAMPLE_EVENT = 'incident-7'

export const EVENT_ID: Parameter = {
  name: 'event_id',
  in: 'path',
  schema: EventId,
  meaning: 'The event, percent-encoded.',
  required: true,
  example: EXAMPLE_EVENT,
}

export const FILTERS: readonly Parameter[] = [
  {
    name: 'message_type',
    in: 'query',
    schema: FilterSchema,
    meaning: 'Only messages of these types, comma-separated.',
  },
  { name: 'message_from', in: 'query', schema: FilterSchema, meaning: 'Only messages from these, comma-separated.' },
]

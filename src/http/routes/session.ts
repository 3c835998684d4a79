import * as z from 'zod'
import { successSchema } from '../api/schemas.ts'
import type { Access } from '../auth/authorize.ts'
import { type SessionCookieOptions, setSessionCookie } from '../auth/cookies.ts'
import { requireBearer } from '../auth/credentials.ts'
import { sendSuccess } from '../responses.ts'
import { defineRoute } from '../route.ts'

export interface SessionRouteOptions extends SessionCookieOptions {
  /** Ends the streams of the session with this token. */
  readonly endSession: (tokenId: string) => void
}

/** Caller with AUTH=none, which may do everything. */
const ANYBODY = {
  subject: null,
  name: null,
  publishScope: 'publish',
  admin: true,
  edge: false,
  hasSession: false,
} as const

const CallerSchema = z.strictObject({
  sub: z.string().nullable().describe('The subject of the token; null if it has none, or with AUTH=none.'),
  name: z.string().nullable().describe('The display name: the claim name, otherwise preferred_username.'),
  scopes: z
    .array(z.enum(['publish', 'chat', 'admin', 'edge']))
    .describe('The scopes that apply; without authentication all.'),
  events: z.union([z.literal('*'), z.array(z.string())]).describe('The events that can be read.'),
  session: z.boolean().describe('Whether the token is in the cookie of POST /api/session, which DELETE removes.'),
})

const EXAMPLE_CALLER = { sub: 'ann', name: 'Ann Lee', scopes: ['chat'], events: '*', session: true }

const describeCaller = ({ principal, readableEvents }: Access) => {
  const { subject, name, publishScope, admin, edge, hasSession } = principal ?? ANYBODY
  return {
    sub: subject,
    name,
    scopes: [
      ...(publishScope === null ? [] : [publishScope]),
      ...(admin ? (['admin'] as const) : []),
      ...(edge ? (['edge'] as const) : []),
    ],
    events: readableEvents,
    session: hasSession,
  }
}

/** Routes for the caller, and for a token that a browser keeps in a cookie. */
export const SESSION_ROUTES = [
  defineRoute({
    method: 'GET',
    path: '/api/session',
    access: 'session',
    tag: 'access',
    summary: 'Return the caller and what its token allows',
    description: 'Without authentication the caller has no sub and every scope.',
    responses: {
      200: {
        description: 'The caller.',
        schema: successSchema(CallerSchema),
        example: { status: 'success', data: EXAMPLE_CALLER },
      },
    },
    handler:
      (_deps: SessionRouteOptions) =>
      ({ ctx, access }) =>
        sendSuccess(ctx, 200, describeCaller(access)),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/session',
    access: 'session',
    tag: 'access',
    summary: 'Store the token of the Authorization header in a cookie, until the token ends',
    description:
      'For browsers: the cookie is HttpOnly, SameSite=Strict and, over HTTPS, Secure. It is accepted from pages of the gateway only. Without authentication no cookie is set.',
    responses: {
      201: {
        description: 'The caller, with the cookie.',
        schema: successSchema(CallerSchema),
        example: { status: 'success', data: EXAMPLE_CALLER },
      },
    },
    handler:
      (options: SessionRouteOptions) =>
      ({ ctx, access }) => {
        const { principal } = access
        if (principal !== null) {
          setSessionCookie(ctx, options, { token: requireBearer(ctx), until: principal.expiresAt })
        }
        sendSuccess(ctx, 201, { ...describeCaller(access), session: principal !== null })
      },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/api/session',
    access: 'session',
    tag: 'access',
    summary: 'Remove the cookie of POST /api/session, and end its streams',
    description: 'The token itself stays valid until it ends or its subject is revoked.',
    responses: {
      200: {
        description: 'The browser is signed out.',
        schema: successSchema(z.strictObject({ signed_out: z.literal(true) })),
        example: { status: 'success', data: { signed_out: true } },
      },
    },
    handler:
      (options: SessionRouteOptions) =>
      ({ ctx, access: { principal } }) => {
        setSessionCookie(ctx, options, null)
        // Only once the browser has removed the cookie: a tab whose stream ends would reconnect with it.
        if (principal !== null) ctx.res.once('close', () => options.endSession(principal.tokenId))
        sendSuccess(ctx, 200, { signed_out: true })
      },
  }),
]

import type { Context } from 'koa'
import * as z from 'zod'
import type { ErrorCode } from '../core/errors.ts'
import type { Access, AccessAction, Authorise } from './auth/authorize.ts'
import { type Fields, type FieldValues, parseFields, parseQuery, requestedEvents } from './parameters.ts'
import type { RequestView } from './request-view.ts'

export type RouteTag = 'messages' | 'streams' | 'access' | 'operation' | 'page'

/** `public` needs no token. Any other value is the action that the caller's token must allow. */
export type RouteAccess = 'public' | AccessAction

export interface RequestBodySpec {
  readonly schema: z.ZodType
  readonly description: string
  readonly example: unknown
}

export interface ResponseSpec {
  readonly description: string
  /** Schema of a JSON body. */
  readonly schema?: z.ZodType
  /** Media type and example of any other body. */
  readonly text?: { readonly type: string; readonly example?: string }
  readonly example?: unknown
}

/**
 * Everything that a route declares except its handler. The API documents and the access matrix are generated from it.
 */
export interface RouteDescription {
  /** GET routes also handle HEAD. */
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Path in the router's syntax: `/api/events/:event_id/messages`. */
  readonly path: string
  readonly access: RouteAccess
  readonly tag: RouteTag
  readonly summary: string
  readonly description?: string
  readonly params?: Fields
  readonly query?: Fields
  /** Only for the documents; handlers read headers themselves, since each header has its own errors. */
  readonly headers?: Fields
  /** Only for the documents; handlers read the body themselves, since a message is stored as the original text. */
  readonly body?: RequestBodySpec
  /** Success responses by status. */
  readonly responses: Readonly<Record<number, ResponseSpec>>
  /** Errors in addition to those that every route with this access can return. */
  readonly errors?: readonly ErrorCode[]
}

/** A request that was authorized and whose parameters are valid. */
export interface AdmittedRequest<A extends RouteAccess, Params extends Fields, Query extends Fields> {
  readonly access: A extends 'public' ? null : Access
  readonly params: FieldValues<Params>
  readonly query: FieldValues<Query>
}

interface RouteDefinition<A extends RouteAccess, Params extends Fields, Query extends Fields, Deps>
  extends RouteDescription {
  readonly access: A
  readonly params?: Params
  readonly query?: Query
  /** Called once per app. The result handles admitted requests. */
  readonly handler: (
    deps: Deps,
  ) => (request: AdmittedRequest<A, Params, Query> & { readonly ctx: Context }) => void | Promise<void>
}

export interface HttpRoute<Deps> extends RouteDescription {
  /** Returns the handler, preceded by the authorization and validation that the route declares. */
  readonly bind: (deps: Deps & { readonly authorise: Authorise }) => (ctx: RouteContext) => Promise<void>
}

export type RouteContext = Context & { readonly params: Record<string, string> }

/** Errors of a route that reads or writes the store. */
export const STORAGE_ERRORS: readonly ErrorCode[] = [
  'storage_unavailable',
  'storage_busy',
  'database_corrupt',
  'database_replaced',
]

type None = Record<never, never>

/**
 * Creates a route from its definition. Authorization comes first; only the parts of the request that it needs are read
 * before it (A1).
 */
export const defineRoute = <A extends RouteAccess, Deps, Params extends Fields = None, Query extends Fields = None>(
  definition: RouteDefinition<A, Params, Query, Deps>,
) => {
  const params = z.object(definition.params ?? ({} as Params))
  const query = z.object(definition.query ?? ({} as Query))

  /**
   * @param path decoded path parameters
   * @throws GatewayError the errors of `authorise`; invalid_query, invalid_event_id or too_many_events
   */
  const admit = async (
    authorise: Authorise,
    request: RequestView,
    path: Readonly<Record<string, string>>,
  ): Promise<AdmittedRequest<A, Params, Query>> => {
    const { access } = definition
    const search = new URLSearchParams(request.querystring)
    const granted =
      access === 'public' ? null : await authorise(request, access, requestedEvents(definition, path, search))
    return {
      access: granted as AdmittedRequest<A, Params, Query>['access'],
      params: parseFields(params, path),
      query: parseQuery(query, search),
    }
  }

  const bind = (deps: Deps & { readonly authorise: Authorise }) => {
    const handle = definition.handler(deps)
    return async (ctx: RouteContext): Promise<void> =>
      handle({ ctx, ...(await admit(deps.authorise, ctx, ctx.params)) })
  }

  return { ...definition, admit, bind }
}

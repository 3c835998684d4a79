import type { Context } from 'koa'
import { z } from 'zod'
import type { ErrorCode } from '../core/errors.ts'
import type { Access, AccessAction, Authorise } from './auth/authorize.ts'
import { type Fields, type FieldValues, namedEvents, parseFields, parseQuery } from './parameters.ts'
import type { RequestView } from './request-view.ts'

export type RouteTag = 'messages' | 'streams' | 'access' | 'operation' | 'page'

/** `public`: no token is asked for. Else what the caller's token must allow. */
export type RouteAccess = 'public' | AccessAction

export interface RequestBodySpec {
  readonly schema: z.ZodType
  readonly description: string
  readonly example: unknown
}

export interface ResponseSpec {
  readonly description: string
  /** Of a JSON body. */
  readonly schema?: z.ZodType
  /** Of any other body: its media type, and an example. */
  readonly text?: { readonly type: string; readonly example?: string }
  readonly example?: unknown
}

/** All that is declared of a route but its handler. The API documents and the access matrix are made from it. */
export interface RouteDescription {
  /** GET answers HEAD too. */
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** As the router takes it: `/api/events/:event_id/messages`. */
  readonly path: string
  readonly access: RouteAccess
  readonly tag: RouteTag
  readonly summary: string
  readonly description?: string
  readonly params?: Fields
  readonly query?: Fields
  /** For the documents; a handler reads the headers itself, since each has errors of its own. */
  readonly headers?: Fields
  /** For the documents; a handler reads the body itself, since a message is kept as the text it came as. */
  readonly body?: RequestBodySpec
  /** The successes, by status. */
  readonly responses: Readonly<Record<number, ResponseSpec>>
  /** Errors beside those that every route with this access can answer. */
  readonly errors?: readonly ErrorCode[]
}

/** A request that was authorised, and whose parameters are valid. */
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
  /** Called once per app; the result answers admitted requests. */
  readonly handler: (
    deps: Deps,
  ) => (request: AdmittedRequest<A, Params, Query> & { readonly ctx: Context }) => void | Promise<void>
}

export interface HttpRoute<Deps> extends RouteDescription {
  /** The handler behind the authorisation and the validation that the route declares. */
  readonly bind: (deps: Deps & { readonly authorise: Authorise }) => (ctx: RouteContext) => Promise<void>
}

export type RouteContext = Context & { readonly params: Record<string, string> }

/** Errors of a route that reads or writes the store. */
export const STORAGE_ERRORS: readonly ErrorCode[] = ['storage_unavailable', 'storage_busy', 'database_replaced']

type None = Record<never, never>

/**
 * Makes a route of its one definition. Authorisation comes first, and only what it needs of the request is read
 * before it (A1).
 */
export const defineRoute = <A extends RouteAccess, Deps, Params extends Fields = None, Query extends Fields = None>(
  definition: RouteDefinition<A, Params, Query, Deps>,
) => {
  const params = z.object(definition.params ?? ({} as Params))
  const query = z.object(definition.query ?? ({} as Query))

  /**
   * @param path the parameters in the path, decoded
   * @throws GatewayError what `authorise` throws; invalid_query, invalid_event_id or too_many_events
   */
  const admit = async (
    authorise: Authorise,
    request: RequestView,
    path: Readonly<Record<string, string>>,
  ): Promise<AdmittedRequest<A, Params, Query>> => {
    const { access } = definition
    const search = new URLSearchParams(request.querystring)
    const granted = access === 'public' ? null : await authorise(request, access, namedEvents(definition, path, search))
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

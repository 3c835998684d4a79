import type { Router } from '@koa/router'
import type { Context } from 'koa'

/** Receives each response: the template of its route, its method and status, and the seconds until its header. */
export type ResponseListener = (route: string, method: string, status: number, seconds: number) => void

/** The route of paths that belong to none. */
export const UNMATCHED_ROUTE = 'unmatched'

/** Returns the path of a request; '' if its target is an invalid absolute URL, on which Node throws. */
export const safePath = (ctx: Context): string => {
  try {
    return ctx.path
  } catch {
    return ''
  }
}

/** Returns a function that finds the template of a request's route, also if the request was refused before the router. */
export const createRouteFinder =
  (router: Router) =>
  (ctx: Context & { routerPath?: string }): string => {
    // The router sets it to the template.
    if (ctx.routerPath !== undefined) return ctx.routerPath
    const { path, pathAndMethod } = router.match(safePath(ctx), ctx.method)
    const layer = pathAndMethod[0] ?? path[0]
    return layer === undefined ? UNMATCHED_ROUTE : String(layer.path)
  }

import { createHash } from 'node:crypto'
import type { Context } from 'koa'
import * as z from 'zod'
import { createAsyncApi } from '../api/asyncapi.ts'
import { DOCS_CSP, renderDocsPage } from '../api/docs-page.ts'
import { createOpenApi } from '../api/openapi.ts'
import { defineRoute, type RouteDescription } from '../route.ts'

const JSON_TYPE = 'application/json; charset=utf-8'

export interface DocumentOptions {
  readonly version: string
  /** Prefix of all paths; '' if there is none. */
  readonly basePath: string
  /** All routes, which the documents describe. */
  readonly routes: readonly RouteDescription[]
}

/** Creates a handler for a document, which is rendered on its first request because most gateways never serve it. */
const createHandler = (type: string, render: () => string, policy: string | null = null) => {
  let rendered: { readonly text: string; readonly etag: string } | null = null
  return ({ ctx }: { readonly ctx: Context }): void => {
    if (rendered === null) {
      const text = render()
      rendered = { text, etag: `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` }
    }
    if (policy !== null) ctx.set('Content-Security-Policy', policy)
    ctx.set('Cache-Control', 'no-cache')
    ctx.set('ETag', rendered.etag)
    ctx.status = 200
    if (ctx.fresh) {
      ctx.status = 304
      return
    }
    ctx.type = type
    ctx.body = rendered.text
  }
}

const DOCUMENT = { method: 'GET', access: 'public', tag: 'operation' } as const

/** Routes of the API documents. They are public, since they contain no data. */
export const DOCUMENT_ROUTES = [
  defineRoute({
    ...DOCUMENT,
    path: '/openapi.json',
    summary: 'OpenAPI document of the HTTP interface',
    description: 'Generated from the routes and schemas that the gateway runs with.',
    responses: { 200: { description: 'OpenAPI 3.1.', schema: z.looseObject({ openapi: z.literal('3.1.0') }) } },
    handler: ({ version, routes, basePath }: DocumentOptions) =>
      createHandler(JSON_TYPE, () => JSON.stringify(createOpenApi(version, routes, basePath))),
  }),
  defineRoute({
    ...DOCUMENT,
    path: '/asyncapi.json',
    summary: 'AsyncAPI document of the AMQP interface and of the stream events',
    description: 'Names of exchange, queue and binding are the defaults.',
    responses: { 200: { description: 'AsyncAPI 3.0.', schema: z.looseObject({ asyncapi: z.literal('3.0.0') }) } },
    handler: ({ version, basePath }: DocumentOptions) =>
      createHandler(JSON_TYPE, () => JSON.stringify(createAsyncApi(version, basePath))),
  }),
  defineRoute({
    ...DOCUMENT,
    path: '/docs',
    summary: 'Both API documents as a web page',
    description: 'Has every call, stream event and error code, without scripts.',
    responses: { 200: { description: 'A page.', text: { type: 'text/html' } } },
    handler: ({ version, routes }: DocumentOptions) =>
      createHandler('text/html; charset=utf-8', () => renderDocsPage(version, routes), DOCS_CSP),
  }),
]

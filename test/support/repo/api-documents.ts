import { createRequire } from 'node:module'
import { ROUTES } from '../../../src/http/app.ts'
import type { Json } from '../harness/wait.ts'

/** The validator behind the OpenAPI one; it supports the dialect of OpenAPI 3.1. */
const require = createRequire(createRequire(import.meta.url).resolve('@seriousme/openapi-schema-validator'))
const { default: Ajv } = require('ajv/dist/2020') as { default: new (options: object) => Json }
const { default: addFormats } = require('ajv-formats') as { default: (ajv: Json) => void }

const ajv = new Ajv({ strict: false, allErrors: true })
addFormats(ajv)

/** Returns the violations of a schema of the document by a value; empty if there are none. */
export const findViolations = (schema: Json, value: Json, document: Json): string[] => {
  const whole = { ...schema, components: document.components }
  const validate = ajv.compile(whole)
  return validate(value) ? [] : validate.errors.map((error: Json) => `${error.instancePath} ${error.message}`)
}

/** Every route as `METHOD /path`, without HEAD, which is GET without a body. */
export const ROUTE_NAMES: readonly string[] = ROUTES.map(({ method, path }) => `${method} ${path}`)

/** A call of the document, under the router's name for it. */
export interface Call {
  readonly route: string
  readonly method: string
  readonly path: string
  readonly operation: Json
}

export const listCalls = (document: Json): Call[] =>
  Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    Object.entries<Json>(item).map(([method, operation]) => ({
      route: `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`,
      method: method.toUpperCase(),
      path,
      operation,
    })),
  )

/** Builds the target and headers of a call from the value of each parameter; undefined omits one. */
export const buildTarget = (
  { path, operation }: Call,
  choose: (parameter: Json) => unknown,
): { target: string; headers: Record<string, string> } => {
  const query: string[] = []
  const headers: Record<string, string> = {}
  let filled = path
  for (const parameter of operation.parameters) {
    const value = choose(parameter)
    if (value === undefined) continue
    const texts = [value].flat().map((one) => encodeURIComponent(String(one)))
    if (parameter.in === 'path') filled = filled.replace(`{${parameter.name}}`, texts.join(','))
    else if (parameter.in === 'header') headers[parameter.name] = String(value)
    else if (parameter.explode) query.push(...texts.map((text) => `${parameter.name}=${text}`))
    else query.push(`${parameter.name}=${texts.join(',')}`)
  }
  return { target: query.length === 0 ? filled : `${filled}?${query.join('&')}`, headers }
}

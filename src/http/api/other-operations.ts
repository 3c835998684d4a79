import { z } from 'zod'
import { RevocationBody, Subject } from '../routes/access.ts'
import { EVENT_ID, type Operation, type Operations, STORAGE_ERRORS } from './operation.ts'
import { RevocationAnswer, success, Ticket } from './schemas.ts'

const REVOCATION = { sub: 'ann', issued_before: '2026-11-22T10:00:00.000Z', until: null }

const ACCESS: Operations = {
  'POST /api/stream-tickets': {
    tag: 'access',
    summary: 'A ticket for one stream, good once, for 30 seconds',
    description: 'EventSource cannot send headers; the ticket goes into ?ticket= of a stream.',
    needs: 'token',
    answers: {
      201: {
        meaning: 'The ticket.',
        schema: success(Ticket),
        example: { status: 'success', data: { ticket: 'bVQ1…', expires_in: 30 } },
      },
    },
    errors: ['too_many_tickets'],
  },
  'POST /api/revocations': {
    tag: 'access',
    summary: 'Refuse the tokens of a subject',
    description: 'Needs the scope admin. Its streams end within a second. Of two revocations the later times hold.',
    needs: 'token',
    body: { schema: RevocationBody, meaning: 'Who is shut out.', example: REVOCATION },
    answers: {
      201: {
        meaning: 'What holds from now on.',
        schema: success(RevocationAnswer),
        example: { status: 'success', data: REVOCATION },
      },
    },
    errors: [
      ...STORAGE_ERRORS,
      'invalid_revocation',
      'invalid_json',
      'invalid_utf8',
      'body_too_large',
      'body_incomplete',
    ],
  },
  'GET /api/revocations': {
    tag: 'access',
    summary: 'All revocations that stand',
    description: 'Needs the scope admin.',
    needs: 'token',
    answers: {
      200: {
        meaning: 'By subject.',
        schema: success(z.array(RevocationAnswer)),
        example: { status: 'success', data: [REVOCATION] },
      },
    },
    errors: STORAGE_ERRORS,
  },
  'DELETE /api/revocations/:subject': {
    tag: 'access',
    summary: 'Take a revocation back',
    description: 'Needs the scope admin.',
    needs: 'token',
    parameters: [
      { name: 'subject', in: 'path', schema: Subject, meaning: 'The subject.', required: true, example: 'ann' },
    ],
    answers: {
      200: {
        meaning: 'Whether there was one.',
        schema: success(z.strictObject({ lifted: z.boolean() })),
        example: { status: 'success', data: { lifted: true } },
      },
    },
    errors: STORAGE_ERRORS,
  },
}

const Ready = z.strictObject({
  ready: z.literal(true),
  mode: z.enum(['embedded', 'broker']),
  version: z.string().optional(),
})

const OPERATION: Operations = {
  'GET /livez': {
    tag: 'operation',
    summary: 'Whether the process answers',
    needs: 'nothing',
    answers: {
      200: {
        meaning: 'It does. The broker has no part in it.',
        schema: success(z.strictObject({ live: z.literal(true) })),
        example: { status: 'success', data: { live: true } },
      },
    },
  },
  'GET /readyz': {
    tag: 'operation',
    summary: 'Whether everything works',
    description: 'Where tokens are needed, particulars are for the scope admin.',
    needs: 'nothing',
    answers: {
      200: {
        meaning: 'It does.',
        schema: success(Ready),
        example: { status: 'success', data: { ready: true, mode: 'embedded', version: '0.1.0' } },
      },
    },
    errors: ['not_ready'],
  },
  'GET /metrics': {
    tag: 'operation',
    summary: 'Figures for Prometheus',
    description: 'Needs the scope admin, but on METRICS_PORT.',
    needs: 'token',
    answers: {
      200: {
        meaning: 'What each means: docs/OPERATIONS.md.',
        text: { type: 'text/plain', example: '# TYPE gateway_ready gauge\ngateway_ready 1\n' },
      },
    },
  },
  'GET /openapi.json': {
    tag: 'operation',
    summary: 'This document',
    needs: 'nothing',
    answers: { 200: { meaning: 'OpenAPI 3.1.', schema: z.looseObject({ openapi: z.literal('3.1.0') }) } },
  },
  'GET /asyncapi.json': {
    tag: 'operation',
    summary: 'What goes over AMQP, and the events of a stream',
    needs: 'nothing',
    answers: { 200: { meaning: 'AsyncAPI 3.0.', schema: z.looseObject({ asyncapi: z.literal('3.0.0') }) } },
  },
  'GET /docs': {
    tag: 'operation',
    summary: 'Both documents to read',
    needs: 'nothing',
    answers: { 200: { meaning: 'A page.', text: { type: 'text/html' } } },
  },
}

const file = (summary: string, type: string): Operation => ({
  tag: 'page',
  summary,
  needs: 'nothing',
  answers: { 200: { meaning: 'The file.', text: { type } } },
})

const PAGE: Operations = {
  'GET /': file('The web page', 'text/html'),
  'GET /events/:event_id': { ...file('The web page at one event', 'text/html'), parameters: [EVENT_ID] },
  'GET /health': file('The web page on how the gateway is', 'text/html'),
  'GET /page.js': file('Its script', 'text/javascript'),
  'GET /page.css': file('Its style', 'text/css'),
  'GET /client.js': file('The client for browsers', 'text/javascript'),
}

/** Access, documents, figures and the page. */
export const ACCESS_OPERATIONS: Operations = { ...ACCESS, ...OPERATION, ...PAGE }

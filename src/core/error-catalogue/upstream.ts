import { define, endsCommand, keepsRetrying } from './definition.ts'

/** Error codes of an edge and its core. */
export const UPSTREAM_ERRORS = {
  upstream_unreachable: keepsRetrying(
    'Check UPSTREAM_URL, that the core runs, and the network between. History is served meanwhile, nothing can be published.',
  ),
  upstream_certificate_untrusted: keepsRetrying(
    'Set NODE_EXTRA_CA_CERTS to the CA certificate that signed the certificate of the core, and use a host name that the certificate covers.',
  ),
  upstream_refused: keepsRetrying(
    'Check UPSTREAM_TOKEN: the core must accept it, with the scope edge and all events of UPSTREAM_EVENTS.',
  ),
  upstream_incompatible: keepsRetrying(
    'Upgrade the core to a version that has GET /api/edge, and check that UPSTREAM_URL is the address of a gateway, with its BASE_PATH.',
  ),
  upstream_cycle: keepsRetrying(
    'UPSTREAM_URL leads back to this gateway, directly or over other edges. Set it to the gateway that stores the messages, or to an edge of it.',
  ),
  upstream_copying: define(
    503,
    true,
    'The first copy of the messages of the core is not complete yet. What is already copied is served.',
  ),
  database_is_copy: endsCommand(
    'Set UPSTREAM_URL as before. To keep the messages without the core, make a backup of it and restore that, which becomes a store of its own.',
  ),
  database_not_copy: endsCommand(
    'Set DATABASE_URL to a file of its own: an edge replaces what is in its database by the messages of the core.',
  ),
} as const

import type * as oauth from 'oauth4webapi'
import { TokenResponseError } from '../token/index.ts'
import { insecurityOf, parseUrl } from '../util/index.ts'
import { presentable } from './redaction.ts'

/** Where one authorization server is asked for what. */
export interface ServerMetadata {
  /** The issuer identifier, where one is known (RFC 8414 section 2). */
  readonly issuer: string | undefined
  readonly tokenEndpoint: URL
  readonly revocationEndpoint?: URL | undefined
  /** Where the server publishes the keys that it signs with, `jwks_uri`. */
  readonly jwksUri?: URL | undefined
  /** `id_token_signing_alg_values_supported`. */
  readonly idTokenAlgs?: readonly string[] | undefined
  /** Where the server hands out challenges for attestations, `challenge_endpoint`. */
  readonly challengeEndpoint?: URL | undefined
  /** Endpoints for connections with a client certificate, `mtls_endpoint_aliases` (RFC 8705 section 5). */
  readonly mtlsEndpointAliases?: EndpointAliases | undefined
  /** `token_endpoint_auth_signing_alg_values_supported`. */
  readonly assertionAlgs?: readonly string[] | undefined
  /** `dpop_signing_alg_values_supported` (RFC 9449 section 5.1). */
  readonly dpopAlgs?: readonly string[] | undefined
  /** The same, in the form that the protocol engine takes. */
  readonly wire: oauth.AuthorizationServer
}

/** The endpoints that `mtls_endpoint_aliases` names, out of those that are used here. */
export interface EndpointAliases {
  readonly tokenEndpoint: URL | undefined
  readonly revocationEndpoint: URL | undefined
}

/** Metadata of a server that is configured by hand. */
export function configuredMetadata(issuer: string | undefined, tokenEndpoint: URL): ServerMetadata {
  // The engine wants an issuer; without one nothing that depends on it (ID tokens) is accepted.
  return { issuer, tokenEndpoint, wire: { issuer: issuer ?? tokenEndpoint.href, token_endpoint: tokenEndpoint.href } }
}

/**
 * Metadata out of a document, which names its issuer exactly as it is configured (RFC 8414 section 3.3) and whose endpoints
 * are as secure as the issuer is.
 *
 * @throws TokenResponseError with code `issuer_mismatch` or `metadata_invalid`.
 */
export function metadataFrom(document: Readonly<Record<string, unknown>>, issuer: string): ServerMetadata {
  if (document.issuer !== issuer) {
    const came = typeof document.issuer === 'string' ? `"${presentable(document.issuer, [])}"` : 'none'
    throw new TokenResponseError(`expected metadata of issuer "${issuer}", got ${came}`, { code: 'issuer_mismatch' })
  }
  const tokenEndpoint = endpoint(document, issuer, 'token_endpoint')
  const revocationEndpoint = optional(document, issuer, 'revocation_endpoint')
  return {
    issuer,
    tokenEndpoint,
    revocationEndpoint,
    jwksUri: usable(document, issuer, 'jwks_uri'),
    idTokenAlgs: texts(document.id_token_signing_alg_values_supported),
    challengeEndpoint: usable(document, issuer, 'challenge_endpoint'),
    mtlsEndpointAliases: aliases(document.mtls_endpoint_aliases, issuer),
    assertionAlgs: texts(document.token_endpoint_auth_signing_alg_values_supported),
    dpopAlgs: texts(document.dpop_signing_alg_values_supported),
    wire: {
      issuer,
      token_endpoint: tokenEndpoint.href,
      ...(revocationEndpoint !== undefined && { revocation_endpoint: revocationEndpoint.href }),
    },
  }
}

function texts(list: unknown): readonly string[] | undefined {
  return Array.isArray(list) ? list.filter((text) => typeof text === 'string') : undefined
}

function aliases(document: unknown, issuer: string): EndpointAliases | undefined {
  if (typeof document !== 'object' || document === null) return undefined
  const named = document as Readonly<Record<string, unknown>>
  return {
    tokenEndpoint: usable(named, issuer, 'token_endpoint'),
    revocationEndpoint: usable(named, issuer, 'revocation_endpoint'),
  }
}

function optional(document: Readonly<Record<string, unknown>>, issuer: string, name: string): URL | undefined {
  return document[name] === undefined ? undefined : endpoint(document, issuer, name)
}

/** An endpoint that few clients need: one that cannot be used counts as absent, so that the others are not kept from theirs. */
function usable(document: Readonly<Record<string, unknown>>, issuer: string, name: string): URL | undefined {
  const found = readEndpoint(document[name], issuer)
  return found instanceof URL ? found : undefined
}

function endpoint(document: Readonly<Record<string, unknown>>, issuer: string, name: string): URL {
  const found = readEndpoint(document[name], issuer)
  if (found instanceof URL) return found
  throw new TokenResponseError(`metadata of issuer "${issuer}": expected ${name} to be ${found}`, {
    code: 'metadata_invalid',
  })
}

/** The endpoint, or what it should have been. */
function readEndpoint(value: unknown, issuer: string): URL | string {
  const url = typeof value === 'string' ? parseUrl(value) : undefined
  const insecurity =
    url === undefined
      ? 'a URL'
      : url.hash !== ''
        ? 'a URL without fragment'
        : url.protocol === 'http:' && issuer.startsWith('https:')
          ? 'an https URL'
          : insecurityOf(url)
  return url !== undefined && insecurity === undefined ? url : String(insecurity)
}

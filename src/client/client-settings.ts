import {
  assertEndpoint,
  assertParameters,
  assertResource,
  assertScope,
  configuredMetadata,
  type ServerMetadata,
} from '../oauth/index.ts'
import { describe } from '../util/index.ts'
import { assertFunction, assertMs, assertOptions, optionInvalid } from './check.ts'
import type { ClientDefinition } from './client-definition.ts'

const OPTIONS: readonly (keyof ClientDefinition)[] = [
  'issuer',
  'tokenEndpoint',
  'clientId',
  'authentication',
  'scope',
  'resource',
  'parameters',
  'dpop',
  'fetch',
  'certificate',
  'lifetime',
  'acceptNarrowedScope',
]
const LIFETIME_OPTIONS = ['renewBeforeMs', 'waitBeforeMs', 'assumedMs', 'maximumMs', 'memoryMs'] as const

/** Where a client finds its server: a document to ask for, or what the configuration says. */
export type ServerLocation =
  | { readonly kind: 'discovered'; readonly issuer: string }
  | { readonly kind: 'configured'; readonly metadata: ServerMetadata }

/**
 * Checks one client definition as a whole, so that a mistake shows when the program starts.
 *
 * @throws ConfigurationError that names client and option.
 */
export function checkClient(name: string, definition: ClientDefinition): ServerLocation {
  const subject = `client "${name}"`
  assertOptions(subject, definition, OPTIONS)
  const { clientId, authentication, scope, resource, parameters, fetch, lifetime, acceptNarrowedScope } = definition
  if (typeof clientId !== 'string' || clientId === '') {
    throw optionInvalid(subject, `clientId to be a non-empty string, got ${describe(clientId)}`)
  }
  const { method, apply } = Object(authentication)
  if (typeof method !== 'string' || typeof apply !== 'function') {
    throw optionInvalid(subject, `authentication such as clientSecretBasic(secret), got ${describe(authentication)}`)
  }
  assertScope(subject, scope)
  assertResource(subject, resource)
  assertParameters(subject, parameters)
  assertFunction(subject, 'fetch', fetch)
  if (acceptNarrowedScope !== undefined && typeof acceptNarrowedScope !== 'boolean') {
    throw optionInvalid(subject, `acceptNarrowedScope to be a boolean, got ${describe(acceptNarrowedScope)}`)
  }
  checkLifetime(subject, lifetime)
  checkCertificate(subject, definition)
  return locateServer(subject, definition)
}

/** A certificate has its own connections, and an authentication that rests on one needs it. */
function checkCertificate(subject: string, { certificate, authentication, fetch }: ClientDefinition): void {
  if (certificate === undefined) {
    if (!authentication.needsCertificate) return
    throw optionInvalid(subject, `a certificate for ${authentication.method}, got none`)
  }
  const { thumbprint, fetch: ownFetch } = Object(certificate) as Record<string, unknown>
  if (typeof thumbprint !== 'string' || typeof ownFetch !== 'function') {
    throw optionInvalid(subject, `certificate such as clientCertificate(files), got ${describe(certificate)}`)
  }
  if (fetch !== undefined) throw optionInvalid(subject, 'certificate or fetch, got both')
}

/** Refuses unknown names and odd numbers in lifetime options. */
export function checkLifetime(subject: string, lifetime: unknown): void {
  if (lifetime === undefined) return
  assertOptions(`${subject}, lifetime`, lifetime, LIFETIME_OPTIONS)
  for (const option of LIFETIME_OPTIONS) assertMs(`${subject}, lifetime`, option, lifetime[option])
}

function locateServer(subject: string, { issuer, tokenEndpoint, authentication }: ClientDefinition): ServerLocation {
  if (issuer === undefined && tokenEndpoint === undefined) {
    throw optionInvalid(subject, 'issuer or tokenEndpoint, got neither')
  }
  if (issuer !== undefined && assertEndpoint(subject, 'issuer', issuer).search !== '') {
    throw optionInvalid(subject, 'issuer to be a URL without query (RFC 8414 section 2)')
  }
  if (tokenEndpoint !== undefined) {
    const metadata = configuredMetadata(issuer, assertEndpoint(subject, 'tokenEndpoint', tokenEndpoint))
    if (issuer === undefined && authentication.needsIssuer) {
      throw optionInvalid(
        subject,
        'an issuer, or an explicit audience, to address its client assertion to, got neither',
      )
    }
    return { kind: 'configured', metadata }
  }
  return { kind: 'discovered', issuer: String(issuer) }
}

import { ALGORITHMS } from '../../keys/index.ts'
import { assertEndpoint, createPublishedKeys, type ServerMetadata } from '../../oauth/index.ts'
import { assertMethods, assertOptions, optionInvalid, TokenResponseError } from '../../token/index.ts'
import { createDetachedRunner, describe, type RunDetached, restAfterFailure } from '../../util/index.ts'
import { managedBy } from '../managed-clients.ts'
import type { UserClient } from '../user-client.ts'
import type { EndableSessions } from './logout.ts'
import type { LogoutMemory } from './logout-memory.ts'
import { createSignatureCheck, type SignatureCheck } from './logout-signature.ts'

/** Whose logouts are taken, and what ends with them. */
export interface BackChannelLogoutOptions<Name extends string = string> {
  /** The client that the endpoint is registered for. */
  readonly client: Name
  /** Where its users' sessions are: what `storedSessions` gives. */
  readonly sessions: EndableSessions
  /** Where the server publishes its keys. Default: what its metadata says. */
  readonly jwksUri?: string | undefined
  /** What the client is registered with (OpenID Connect Dynamic Client Registration section 2). Default: what the server's metadata names for ID tokens, RS256 where that names none. */
  readonly idTokenSignedResponseAlg?: string | undefined
}

/** What a request is dealt with by. */
export interface LogoutReceiver {
  readonly client: UserClient
  readonly issuer: string
  readonly sessions: EndableSessions
  readonly logouts: LogoutMemory
  /** The algorithms that a signature may have; never `none`, nor one with a secret. */
  readonly algs: () => Promise<readonly string[]>
  readonly check: SignatureCheck
}

const SUBJECT = 'backChannelLogout'
const OPTIONS = ['client', 'sessions', 'jwksUri', 'idTokenSignedResponseAlg']
/** OpenID Connect Dynamic Client Registration section 2: what ID tokens are signed with where nothing is said. */
const DEFAULT_ALGS = ['RS256']
/** So long the server is left alone after it gave no metadata. */
const PAUSE_MS = 1000

/**
 * Checks what a handler is made of.
 *
 * @throws ConfigurationError.
 */
export function logoutReceiver(tokens: unknown, options: BackChannelLogoutOptions): LogoutReceiver {
  const managed = managedBy(tokens)
  if (managed === undefined) throw optionInvalid(SUBJECT, `a user token manager, got ${describe(tokens)}`)
  assertOptions(SUBJECT, options, OPTIONS)
  const { client: name, sessions, jwksUri, idTokenSignedResponseAlg: alg } = options
  const client = managed.clientNamed(name)
  assertMethods(SUBJECT, { option: 'sessions', value: sessions }, ['end'])
  if (alg !== undefined && !ALGORITHMS.has(alg)) {
    throw optionInvalid(
      SUBJECT,
      `idTokenSignedResponseAlg to be one of ${[...ALGORITHMS.keys()].join(', ')}, got another`,
    )
  }
  const { issuer, tokenEndpoint } = client.definition
  if (issuer === undefined) throw optionInvalid(SUBJECT, `client "${name}" to have an issuer, got none`)
  if (tokenEndpoint !== undefined && jwksUri === undefined) {
    throw optionInvalid(
      SUBJECT,
      'jwksUri for a client with a tokenEndpoint, whose server is not asked for metadata, got none',
    )
  }
  const location = jwksUri === undefined ? undefined : assertEndpoint(SUBJECT, 'jwksUri', jwksUri)
  const { oauth } = client.env
  const runDetached = createDetachedRunner()
  const metadata = metadataOf(client, runDetached)
  const published = createPublishedKeys({
    subject: `client "${name}", keys of the server`,
    location: async () => location ?? keysIn(await metadata()),
    channel: oauth.channel,
    clock: oauth.clock,
    runDetached,
  })
  const algs = async (): Promise<readonly string[]> => (alg === undefined ? signingAlgs(await metadata()) : [alg])
  return { client, issuer, sessions, logouts: managed.logouts, algs, check: createSignatureCheck(published) }
}

/** Metadata of the client's server. Where it cannot be had it is not asked for with each token. */
function metadataOf({ env: { oauth } }: UserClient, runDetached: RunDetached): () => Promise<ServerMetadata> {
  const ask = (): Promise<ServerMetadata> =>
    runDetached(async () => {
      // The connections of a certificate are not there before it is.
      await oauth.certificate?.ready()
      return oauth.server.metadata()
    })
  return restAfterFailure(ask, { clock: oauth.clock, ms: PAUSE_MS })
}

function keysIn({ jwksUri }: ServerMetadata): URL {
  if (jwksUri !== undefined) return jwksUri
  throw new TokenResponseError(`${SUBJECT}: expected metadata with a jwks_uri, got none`, { code: 'metadata_invalid' })
}

function signingAlgs({ idTokenAlgs = DEFAULT_ALGS }: ServerMetadata): readonly string[] {
  return idTokenAlgs.filter((alg) => ALGORITHMS.has(alg))
}

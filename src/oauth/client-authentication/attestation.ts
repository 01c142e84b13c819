import { type PrivateKey, type Signer, signJwt } from '../../keys/index.ts'
import { ConfigurationError } from '../../token/index.ts'
import { type Awaitable, describe, randomId, systemClock } from '../../util/index.ts'
import type { AuthenticationAnswer, ClientAuthentication, ClientIdentity } from './client-authentication.ts'
import { type ClientInstance, createClientInstance } from './client-instance.ts'

/** What a {@link ClientAttester} is told. */
export interface ClientAttestationRequest {
  readonly clientId: string
  /** The authorization server that the instance is going to use. An attester need not be told. */
  readonly issuer: string
  /** The public part of the instance's key, for the claim `cnf`. */
  readonly publicJwk: Signer['publicJwk']
  readonly signal?: AbortSignal | undefined
}

/**
 * Gives a client attestation (JWT with `typ` `oauth-client-attestation+jwt`) for an instance's key. Asked when there is none yet,
 * when the last one is about to expire, and when the server wants a fresh one.
 */
export type ClientAttester = (request: ClientAttestationRequest) => Awaitable<string>

/** Which key an instance has. */
export interface AttestJwtClientAuthOptions {
  /**
   * The instance's key for one server, asked for once. Default: an ES256 key that is made for this process and each server, and cannot
   * leave it, so that two servers cannot tell that they see the same instance.
   */
  readonly keyFor?: ((issuer: string) => Awaitable<PrivateKey>) | undefined
}

/**
 * `attest_jwt_client_auth`: an attestation by the client's backend, and a fresh proof that this instance holds the key it speaks of
 * (draft-ietf-oauth-attestation-based-client-auth, as of draft 12). Challenges of the server are used in the next proof.
 *
 * @throws ConfigurationError with code `option_invalid` when the attester is no function.
 */
export function attestJwtClientAuth(
  attester: ClientAttester,
  { keyFor = makeKey }: AttestJwtClientAuthOptions = {},
): ClientAuthentication {
  if (typeof attester !== 'function') {
    throw new ConfigurationError(
      `attestJwtClientAuth: expected the attester to be a function, got ${describe(attester)}`,
      {
        code: 'option_invalid',
      },
    )
  }
  // One for each server and client that the configuration names.
  const instances = new Map<string, ClientInstance>()
  return authenticationWith({
    instanceFor({ clientId }, issuer) {
      const name = JSON.stringify([issuer, clientId])
      const instance = instances.get(name) ?? createClientInstance({ attester, keyFor, clientId, issuer })
      instances.set(name, instance)
      return instance
    },
  })
}

async function makeKey(): Promise<PrivateKey> {
  return crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])
}

interface State {
  readonly instanceFor: (client: ClientIdentity, issuer: string) => ClientInstance
  /** Errors that have been a reason to try again already. */
  readonly seen?: ReadonlySet<string>
}

function authenticationWith(state: State): ClientAuthentication {
  const { instanceFor, seen = new Set() } = state
  return {
    method: 'attest_jwt_client_auth',
    needsIssuer: true,
    async apply({ body, headers }, client, { signal, clock = systemClock, ask } = {}) {
      const issuer = issuerOf(client)
      const instance = instanceFor(client, issuer)
      const attestation = await instance.attestation(clock.wallTime(), signal)
      const { challengeEndpoint } = client
      if (challengeEndpoint !== undefined && instance.challenge === undefined && ask !== undefined) {
        instance.challenge = challengeIn(await ask(challengeEndpoint))
      }
      const { challenge } = instance
      const iat = Math.floor(clock.wallTime() / 1000)
      const claims = { aud: issuer, jti: randomId(), iat, ...(challenge !== undefined && { challenge }) }
      const signer = await instance.signer(signal)
      // The key is in the attestation; a kid would be one more name for it.
      const proof = await signJwt(
        { alg: signer.alg, sign: (...input) => signer.sign(...input) },
        { typ: POP_TYPE, claims, signal },
      )
      body.set('client_id', client.clientId)
      headers.set('oauth-client-attestation', attestation)
      headers.set('oauth-client-attestation-pop', proof)
      return {
        next(answer) {
          instance.challenge = answer.header('oauth-client-attestation-challenge') ?? instance.challenge
          const error = answer.error ?? ''
          if (seen.has(error) || !isCurable(answer)) return undefined
          if (error === 'use_fresh_attestation') instance.renew()
          return authenticationWith({ ...state, seen: new Set([...seen, error]) })
        },
      }
    },
  }
}

const POP_TYPE = 'oauth-client-attestation-pop+jwt'

/** A challenge came along, or a fresh attestation is all that is missing. */
function isCurable({ error, header }: AuthenticationAnswer): boolean {
  if (error === 'use_attestation_challenge') return header('oauth-client-attestation-challenge') !== undefined
  return error === 'use_fresh_attestation'
}

function challengeIn({ attestation_challenge: challenge }: Readonly<Record<string, unknown>>): string | undefined {
  return typeof challenge === 'string' && challenge !== '' ? challenge : undefined
}

function issuerOf({ clientName, issuer }: ClientIdentity): string {
  if (issuer !== undefined) return issuer
  throw new ConfigurationError(
    `client "${clientName}": expected an issuer to address the proof of possession to, got none`,
    {
      code: 'assertion_options_invalid',
    },
  )
}

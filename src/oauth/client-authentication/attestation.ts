import { generateSigner, type PrivateKey, type Signer, signJwt } from '../../keys/index.ts'
import { ConfigurationError } from '../../token/index.ts'
import { type Awaitable, describe, randomId, systemClock } from '../../util/index.ts'
import { BACKDATE_SECONDS } from './assertion-claims.ts'
import type {
  AuthenticationAnswer,
  ClientAuthentication,
  ClientAuthenticationOptions,
  ClientIdentity,
} from './client-authentication.ts'
import { type ClientInstance, createClientInstance } from './client-instance.ts'
import { isDatedRefusal } from './dated-refusal.ts'

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
  { keyFor = generateSigner }: AttestJwtClientAuthOptions = {},
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

interface State {
  readonly instanceFor: (client: ClientIdentity, issuer: string) => ClientInstance
  /** What has been a reason to try again already. */
  readonly seen?: ReadonlySet<string>
}

const POP_TYPE = 'oauth-client-attestation-pop+jwt'

function authenticationWith(state: State): ClientAuthentication {
  return {
    method: 'attest_jwt_client_auth',
    needsIssuer: true,
    async apply({ body, headers }, client, options = {}) {
      const { signal, clock = systemClock } = options
      const issuer = issuerOf(client)
      const instance = state.instanceFor(client, issuer)
      const { attestation, signer } = await instance.attested(clock, signal)
      instance.challenge ??= await challengeFor(client, options)
      const { challenge } = instance
      const iat = Math.floor(clock.wallTime() / 1000) - BACKDATE_SECONDS
      const claims = { aud: issuer, jti: randomId(), iat, ...(challenge !== undefined && { challenge }) }
      // The key is in the attestation; a kid would be one more name for it.
      const nameless = { alg: signer.alg, sign: signer.sign.bind(signer) }
      const proof = await signJwt(nameless, { typ: POP_TYPE, claims, signal })
      body.set('client_id', client.clientId)
      headers.set('oauth-client-attestation', attestation)
      headers.set('oauth-client-attestation-pop', proof)
      return { next: (answer) => nextAfter(answer, instance, state) }
    },
  }
}

function nextAfter(
  answer: AuthenticationAnswer,
  instance: ClientInstance,
  state: State,
): ClientAuthentication | undefined {
  const { seen = new Set() } = state
  instance.challenge = answer.header('oauth-client-attestation-challenge') ?? instance.challenge
  const reason = reasonOf(answer)
  if (reason === undefined || seen.has(reason)) return undefined
  if (reason === 'use_fresh_attestation') instance.renew()
  return authenticationWith({ ...state, seen: new Set([...seen, reason]) })
}

/** Why another attempt has a chance: a challenge came along, a fresh attestation is wanted, or the dates were wrong. */
function reasonOf(answer: AuthenticationAnswer): string | undefined {
  const { error, header } = answer
  if (error === 'use_fresh_attestation') return error
  if (error === 'use_attestation_challenge') {
    return header('oauth-client-attestation-challenge') === undefined ? undefined : error
  }
  return isDatedRefusal(answer) ? 'dates' : undefined
}

/** A challenge of the server's challenge endpoint, where it has one. */
async function challengeFor(
  { challengeEndpoint }: ClientIdentity,
  { ask }: ClientAuthenticationOptions,
): Promise<string | undefined> {
  if (challengeEndpoint === undefined || ask === undefined) return undefined
  return challengeIn(await ask(challengeEndpoint))
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

import {
  isKeyRing,
  type KeyOptions,
  type KeyRing,
  type PreparedKey,
  type PrivateKey,
  prepareKey,
  type RingKeys,
  ringKeysOf,
  signJwt,
} from '../../keys/index.ts'
import { systemClock } from '../../util/index.ts'
import { type AssertionOptions, type AssertionTemplate, assertionTemplate, isAlgSupported } from './assertion-claims.ts'
import { addAssertion, JWT_BEARER } from './client-assertion.ts'
import type { ClientAuthentication, ClientIdentity } from './client-authentication.ts'
import { isDatedRefusal } from './dated-refusal.ts'

/** What shapes the assertions of `privateKeyJwt`. */
export interface PrivateKeyJwtOptions extends AssertionOptions, KeyOptions {}

/**
 * `private_key_jwt`: an assertion signed with the client's private key, a fresh one for every attempt
 * (RFC 7523 section 2.2, OpenID Connect Core section 9).
 *
 * A `KeyRing` signs with its newest key in use. When the server does not know that one (`invalid_client`), an older one
 * follows at once.
 *
 * @throws ConfigurationError with code `key_invalid` or `assertion_options_invalid`.
 */
export function privateKeyJwt(key: PrivateKey | KeyRing, options: PrivateKeyJwtOptions = {}): ClientAuthentication {
  const keys = isKeyRing(key) ? ringKeysOf(key) : oneKey(prepareKey(key, options))
  return authenticationWith({ keys, template: assertionTemplate('privateKeyJwt', options) })
}

/** A ring that has one key, which stays. */
function oneKey(key: PreparedKey): RingKeys {
  return { inOrder: () => [key], refused: () => {}, accepted: () => {} }
}

interface State {
  readonly keys: RingKeys
  readonly template: AssertionTemplate
  /** The keys that are left to try, for another attempt at the same request. */
  readonly left?: readonly PreparedKey[]
  /** Whether dates have been a reason to try again already. */
  readonly isRedated?: boolean
}

function authenticationWith(state: State): ClientAuthentication {
  const { keys, template, isRedated = false } = state
  return {
    method: 'private_key_jwt',
    needsIssuer: template.needsIssuer,
    async apply({ body }, client, { signal, clock = systemClock } = {}) {
      const left = state.left ?? usable(keys.inOrder(serverOf(client)), client)
      const [key, ...others] = left
      if (key === undefined) throw new TypeError('unreachable: a ring has a key')
      const signer = await key.load()
      const claims = template.claimsFor(key.alg, client, clock.wallTime())
      const value = await signJwt(signer, { typ: template.typ, claims, signal })
      addAssertion(body, client.clientId, { type: JWT_BEARER, value })
      return {
        next(answer) {
          if (answer.error === undefined) {
            keys.accepted(key, serverOf(client), answer.expiresAt)
            return undefined
          }
          if (!isRedated && isDatedRefusal(answer)) return authenticationWith({ ...state, left, isRedated: true })
          if (answer.error !== 'invalid_client') return undefined
          keys.refused(key, serverOf(client))
          return others.length === 0 ? undefined : authenticationWith({ ...state, left: others })
        },
      }
    },
  }
}

/** Without the keys whose algorithm the server does not take; all of them if it takes none, so that the error says so. */
function usable(keys: readonly PreparedKey[], client: ClientIdentity): readonly PreparedKey[] {
  const taken = keys.filter(({ alg }) => isAlgSupported(alg, client))
  return taken.length === 0 ? keys : taken
}

function serverOf({ issuer, tokenEndpoint }: ClientIdentity): string {
  return issuer ?? tokenEndpoint.href
}

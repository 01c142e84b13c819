import {
  createNonces,
  createProver,
  type DPoPKeyRing,
  dpopKeyRing,
  isDPoPKeyRing,
  type Nonces,
  type ProofKeys,
  type Prover,
  proofKeysOf,
} from '../dpop/index.ts'
import { generateSigner, type PrivateKey } from '../keys/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { type Awaitable, type Clock, lazy } from '../util/index.ts'

/**
 * The key that a client's tokens are bound to (RFC 9449). `true`: an ES256 key that is made for this process and this client. A function is asked
 * whenever a token is obtained, and a `dpopKeyRing` changes keys when it is told to.
 */
export type ClientDPoPOption = true | PrivateKey | DPoPKeyRing | (() => Awaitable<PrivateKey>)

/** Where nonces are kept: nobody else has a use for those of a key that nobody else has. */
export interface NonceMemories {
  readonly own: Nonces
  readonly shared: Nonces
}

/** The memories of one manager. */
export function nonceMemories({ store, ...rest }: Parameters<typeof createNonces>[0]): NonceMemories {
  const own = createNonces(rest)
  return { own, shared: store === undefined ? own : createNonces({ store, ...rest }) }
}

/** What one client proves its possession with. */
export interface ClientDPoP {
  readonly keys: ProofKeys
  readonly prover: Prover
  /** Whether the key is nobody else's, so that nobody else could use a token of it. */
  readonly isOfProcess: boolean
}

/**
 * The proofs of one client, or nothing where it does without.
 *
 * @throws ConfigurationError with code `key_invalid` that names the client and what kind of key came, never the key.
 */
export function clientDPoP(
  clientName: string,
  option: ClientDPoPOption | undefined,
  { clock, nonces }: { readonly clock: Clock; readonly nonces: NonceMemories },
): ClientDPoP | undefined {
  if (option === undefined) return undefined
  try {
    const keys = proofKeysOf(ringFor(option, clock))
    const isOfProcess = option === true
    return { keys, prover: createProver(keys, isOfProcess ? nonces.own : nonces.shared), isOfProcess }
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    throw new ConfigurationError(`client "${clientName}", dpop: ${error.message}`, { code: error.code })
  }
}

function ringFor(option: ClientDPoPOption, clock: Clock): DPoPKeyRing {
  if (isDPoPKeyRing(option)) return option
  return dpopKeyRing(option === true ? lazy(generateSigner) : option, { clock })
}

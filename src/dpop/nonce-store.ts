import type { Awaitable } from '../util/index.ts'

/** Whose nonce it is: servers tell theirs apart by role, and so do the keys that they gave them to (RFC 9449 sections 8 and 9). */
export interface NonceKey {
  readonly role: 'authorization_server' | 'resource_server'
  /** Origin of the server, as `URL.origin` has it. */
  readonly origin: string
  /** RFC 7638 thumbprint of the key that signs the proofs. */
  readonly jkt: string
}

/** Nonces that several processes share. Every process has its own memory in front of it. */
export interface NonceStore {
  /** The nonce that was set last, as long as it is worth a try. */
  get(key: NonceKey): Awaitable<string | undefined>
  /** Keeps the nonce for the other processes. */
  set(key: NonceKey, nonce: string): Awaitable<void>
}

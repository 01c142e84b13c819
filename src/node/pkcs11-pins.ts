import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Handle } from 'pkcs11js'

/** Which PIN logged in to which slot, as digests under a salt that nobody keeps. */
export interface PinDigests {
  remember(slot: Handle, pin: string): void
  /** Whether another PIN than this one logged in; where somebody else's login is in force, nothing is known. */
  contradicts(slot: Handle, pin: string): boolean
  forget(slot: Handle): void
  clear(): void
}

/** No digests yet. */
export function createPinDigests(): PinDigests {
  const salt = randomBytes(32)
  const digests = new Map<string, Buffer>()
  const digestOf = (pin: string): Buffer => createHmac('sha256', salt).update(pin).digest()
  return {
    remember: (slot, pin) => void digests.set(slot.toString('hex'), digestOf(pin)),
    contradicts(slot, pin) {
      const digest = digests.get(slot.toString('hex'))
      return digest !== undefined && !timingSafeEqual(digest, digestOf(pin))
    },
    forget: (slot) => void digests.delete(slot.toString('hex')),
    clear: () => digests.clear(),
  }
}

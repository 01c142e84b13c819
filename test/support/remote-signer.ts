import type { Signer } from 'evertoken'

/** A call of `sign` that has not been answered. */
export interface Call {
  readonly signal: AbortSignal | undefined
  answer(): void
  fail(error: unknown): void
}

/** A signer whose answers come when the test says so. */
export function remoteSigner(): { readonly signer: Signer; readonly calls: Call[] } {
  const calls: Call[] = []
  const signer: Signer = {
    alg: 'ES256',
    publicJwk: {},
    sign: (_, options) =>
      new Promise((resolve, reject) => {
        calls.push({ signal: options?.signal, answer: () => resolve(new Uint8Array(64)), fail: reject })
      }),
  }
  return { signer, calls }
}

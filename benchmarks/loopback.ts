import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type ClientDefinition, clientSecretBasic } from 'evertoken'

/** A token endpoint and an API in a process of their own, so that only the client's time counts here. */
export interface Loopback {
  readonly origin: string
  readonly tokenEndpoint: string
  /** How many token requests there have been. */
  tokenRequests(): Promise<number>
  close(): Promise<void>
}

/** Starts the server of `programs/server.ts`. With `nonceMs` its API demands proofs with a nonce that changes that often; `/open` does not. */
export async function startLoopback({ lifetimeSeconds = 3600, delayMs = 0, nonceMs = 0 } = {}): Promise<Loopback> {
  const child = fork(programPath('server'), [lifetimeSeconds, delayMs, nonceMs].map(String))
  const [port] = await once(child, 'message')
  const origin = `http://127.0.0.1:${port}`
  return {
    origin,
    tokenEndpoint: `${origin}/token`,
    async tokenRequests() {
      const response = await fetch(`${origin}/count`)
      return Number(await response.text())
    },
    async close() {
      const exited = once(child, 'exit')
      child.kill()
      await exited
    },
  }
}

/** Where a compiled program of this folder is. */
export function programPath(name: string): string {
  return fileURLToPath(new URL(`./programs/${name}.js`, import.meta.url))
}

/** A client of the loopback server. */
export function clientAt(tokenEndpoint: string): ClientDefinition {
  return { tokenEndpoint, clientId: 'bench', authentication: clientSecretBasic('not-a-secret') }
}

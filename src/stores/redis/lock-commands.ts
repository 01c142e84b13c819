import type { SendCommand } from './redis-client.ts'

/** Takes the lock, or finds that it was taken already by a command whose answer got lost and which was sent again. */
const ACQUIRE =
  "if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('get', KEYS[1]) == ARGV[1] then return 1 end return 0"
const RENEW =
  "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
const RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

/** One lock in Redis as one owner sees it. Each answers whether the lock was, or became, that owner's. */
export interface LockCommands {
  acquire(): Promise<boolean>
  renew(): Promise<boolean>
  release(): Promise<boolean>
}

/** Compares the owner and acts in one step, on the server. */
export function lockCommands(send: SendCommand, key: string, { owner, leaseMs }: LockOwner): LockCommands {
  const run = async (script: string, ...args: string[]): Promise<boolean> =>
    Number(await send(['EVAL', script, '1', key, owner, ...args], key)) === 1
  const lease = String(Math.ceil(leaseMs))
  return {
    acquire: () => run(ACQUIRE, lease),
    renew: () => run(RENEW, lease),
    release: () => run(RELEASE),
  }
}

/** Who holds a lock, and for how long without a renewal. */
export interface LockOwner {
  readonly owner: string
  readonly leaseMs: number
}

import type { LogoutMemory } from './logout/logout-memory.ts'
import type { UserClient } from './user-client.ts'

/** What functions beside a manager need of it. */
export interface Managed {
  /** @throws ConfigurationError with code `client_unknown`. */
  readonly clientNamed: (name: string) => UserClient
  readonly logouts: LogoutMemory
}

const managed = /* @__PURE__ */ new WeakMap<object, Managed>()

/** Takes note of what a manager has, which its own interface does not show. */
export function keepManaged(manager: object, parts: Managed): void {
  managed.set(manager, parts)
}

/** What was noted; nothing for what is no manager. */
export function managedBy(manager: unknown): Managed | undefined {
  return managed.get(Object(manager))
}

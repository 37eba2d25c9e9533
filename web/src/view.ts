// What is open: the side bar, a dialog, a conversation.
import { signal } from '@preact/signals';
import { currentId } from './chat';

/** Room for the side bar beside the conversation; else it lies over it. The same width is in style.css. */
export const wide = matchMedia('(min-width: 56rem)');
export const sidebarOpen = signal(wide.matches);
wide.onchange = () => (sidebarOpen.value = wide.matches);

export const dialog = signal<'settings' | 'help' | 'key' | null>(null);

export const COMPOSER = 'composer'; // The id of its text area.

/** With `null`, a new one. */
export function openConversation(id: string | null): void {
  currentId.value = id;
  if (!wide.matches) sidebarOpen.value = false;
  focusComposer();
}

export function focusComposer(): void {
  // On a touch screen the focus would bring up the keyboard, over what one wants to read.
  if (matchMedia('(pointer: fine)').matches) document.getElementById(COMPOSER)?.focus();
}

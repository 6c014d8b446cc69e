"use strict";
// What the reader has set stays over a reload: each control with data-keep, by its id.
const KEY = "gantk " + location.pathname;
const one = (selector, inside = document) => inside.querySelector(selector);
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const make = (tag, attributes = {}, text) => {
  const element = tag === "svg" || tag in SHAPES ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
};
const SHAPES = { path: 1, line: 1, text: 1, circle: 1, g: 1, polygon: 1 };
const whole = (number) => Number(number).toLocaleString("en-GB");

function kept() {
  try { return JSON.parse(sessionStorage.getItem(KEY)) || {}; } catch { return {}; }
}

function keep() {
  const state = {};
  for (const control of all("[data-keep]")) {
    // A time slider at its end stays at the end, wherever that is by then.
    if (control.dataset.keep === "end" && control.value === control.max) continue;
    state[control.id] = control.tagName === "DETAILS" ? control.open : control.matches("[type=checkbox], [type=radio]") ? control.checked : control.value;
  }
  try { sessionStorage.setItem(KEY, JSON.stringify(state)); } catch { /* a browser that keeps nothing */ }
}

function restore() {
  const state = kept();
  for (const control of all("[data-keep]")) {
    if (!(control.id in state)) continue;
    if (control.tagName === "DETAILS") control.open = state[control.id];
    else if (control.matches("[type=checkbox], [type=radio]")) control.checked = state[control.id];
    else control.value = state[control.id];
  }
}

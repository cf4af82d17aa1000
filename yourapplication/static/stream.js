'use strict';

const list = document.getElementById('events');
const again = document.getElementById('again');
const problem = document.getElementById('problem');

function listen() {
  list.replaceChildren();
  again.disabled = true;
  problem.hidden = true;

  const source = new EventSource(list.dataset.source);
  const finish = (broken) => {
    source.close(); // or the browser would connect again, and count from one
    again.disabled = false;
    problem.hidden = !broken;
  };
  source.onerror = () => finish(true);
  source.onmessage = ({ data }) => {
    const { number, count, time } = JSON.parse(data);
    const item = document.createElement('li');
    item.textContent = new Date(time).toISOString().slice(11, 23);
    list.append(item);
    if (number === count) finish(false);
  };
}

again.addEventListener('click', listen);
listen();
